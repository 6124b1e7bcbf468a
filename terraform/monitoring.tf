# The coordinator prints its figures in CloudWatch's embedded metric format once a minute; CloudWatch
# makes metrics of these lines of its log.

locals {
  dimensions = { Role = "coordinator" }

  alarms = {
    lost-member = {
      description = "A worker or server was lost in the last five minutes. The run goes on; see events of the job."
      metric      = "MembersLost"
      comparison  = "GreaterThanThreshold"
      statistic   = "Sum"
      period      = 300
      threshold   = 0
      periods     = 1
      missing     = "notBreaching"
    }
    stall = {
      description = "A job runs and no step has ended for ${var.stall_minutes} minutes: too few workers, or nobody can reach the servers."
      metric      = "SecondsWithoutStep"
      comparison  = "GreaterThanThreshold"
      statistic   = "Maximum"
      period      = 60
      threshold   = var.stall_minutes * 60
      periods     = 1
      missing     = "notBreaching"
    }
    divergence = {
      description = "A run ended as diverged: its loss is not finite, or no better than a guess."
      metric      = "RunsDiverged"
      comparison  = "GreaterThanThreshold"
      statistic   = "Sum"
      period      = 300
      threshold   = 0
      periods     = 1
      missing     = "notBreaching"
    }
    no-coordinator = {
      description = "The coordinator has said nothing for five minutes."
      metric      = "Workers"
      comparison  = "LessThanThreshold"
      statistic   = "SampleCount"
      period      = 300
      threshold   = 1
      periods     = 1
      missing     = "breaching"
    }
  }

  charts = [
    { title = "Workers", metrics = ["WorkersWanted", "Workers"], statistic = "Average" },
    { title = "Jobs", metrics = ["JobsRunning", "JobsQueued"], statistic = "Maximum" },
    { title = "Steps a minute", metrics = ["Steps"], statistic = "Sum" },
    { title = "Examples per second", metrics = ["ExamplesPerSecond"], statistic = "Average" },
    { title = "Test accuracy (%)", metrics = ["TestAccuracyPercent"], statistic = "Maximum" },
    { title = "Loss", metrics = ["TrainLoss", "TestLoss"], statistic = "Average" },
    { title = "Lost members", metrics = ["MembersLost"], statistic = "Sum" },
    { title = "Seconds without a step", metrics = ["SecondsWithoutStep"], statistic = "Maximum" },
  ]
}

resource "aws_sns_topic" "alarms" {
  name = "${local.name}-alarms"
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = ["budgets.amazonaws.com", "cloudwatch.amazonaws.com"] }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.alarms.arn
    }]
  })
}

resource "aws_sns_topic_subscription" "alarms" {
  count = var.alarm_email == "" ? 0 : 1

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

resource "aws_cloudwatch_metric_alarm" "run" {
  for_each = local.alarms

  alarm_name          = "${local.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = local.metric_namespace
  metric_name         = each.value.metric
  dimensions          = local.dimensions
  statistic           = each.value.statistic
  period              = each.value.period
  evaluation_periods  = each.value.periods
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_dashboard" "main" {
  dashboard_name = local.name

  dashboard_body = jsonencode({
    widgets = concat(
      [{
        type       = "alarm"
        x          = 0
        y          = 0
        width      = 24
        height     = 3
        properties = { title = "Alarms", alarms = [for alarm in aws_cloudwatch_metric_alarm.run : alarm.arn] }
      }],
      [for index, chart in local.charts : {
        type   = "metric"
        x      = 12 * (index % 2)
        y      = 3 + 6 * floor(index / 2)
        width  = 12
        height = 6
        properties = {
          title   = chart.title
          region  = var.aws_region
          period  = 60
          stat    = chart.statistic
          metrics = [for metric in chart.metrics : [local.metric_namespace, metric, "Role", "coordinator"]]
        }
      }],
    )
  })
}

# Of the whole account: a budget by tag needs the tag to be activated in the billing console first.
resource "aws_budgets_budget" "monthly" {
  count = var.monthly_budget_usd > 0 ? 1 : 0

  name         = "${local.name}-monthly"
  budget_type  = "COST"
  limit_amount = tostring(var.monthly_budget_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  dynamic "notification" {
    for_each = { ACTUAL = 80, FORECASTED = 100 }

    content {
      notification_type         = notification.key
      comparison_operator       = "GREATER_THAN"
      threshold                 = notification.value
      threshold_type            = "PERCENTAGE"
      subscriber_sns_topic_arns = [aws_sns_topic.alarms.arn]
    }
  }

  depends_on = [aws_sns_topic_policy.alarms]
}
