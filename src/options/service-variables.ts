/**
 * Variables that nobody wrote. Kubernetes gives each container variables for every Service of its
 * namespace, and Docker for each linked container: a Service called `paceline` makes
 * PACELINE_PORT=tcp://10.96.0.12:8000, one called `server` SERVER_PORT. Their values have a form
 * that no option takes, so they are told apart from what a user sets.
 */

/** The Service or container that made the variable, in lower case; null where a user may have. */
export function serviceOf(name: string, value: string): string | null {
  const [, service] =
    /^(.+?)_(?:SERVICE_HOST|SERVICE_PORT(?:_.+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_.+)?)$/.exec(name) ??
    [];
  if (service !== undefined) return spelled(service);
  if (name.endsWith("_PORT") && /^(tcp|udp|sctp):\/\//.test(value))
    return spelled(name.slice(0, -5));
  // Docker names a link as /container/link.
  if (name.endsWith("_NAME") && /^\/[^/]+\/[^/]+$/.test(value)) return spelled(name.slice(0, -5));
  return null;
}

function spelled(name: string): string {
  return name.toLowerCase().replaceAll("_", "-");
}
