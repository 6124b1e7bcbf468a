/** How the pushes that servers take grow with servers and workers, as a table for people. */

/** What one count of servers and workers came to. */
export interface PushRate {
  /** What is the same in the rows that are compared: transport, link, compression. */
  readonly series: string;
  readonly servers: number;
  readonly workers: number;
  /** Pushes of chunks in a second. */
  perServer(): number;
}

/** A line for each, against the first of its series; none where there is nothing to compare. */
export function growthTable(rates: readonly PushRate[]): string[] {
  const seriesNames = [...new Set(rates.map(({ series }) => series))];
  return seriesNames.flatMap((series) => {
    const own = rates.filter((rate) => rate.series === series);
    const [first] = own;
    if (first === undefined || own.length < 2) return [];
    const lines = own.map((rate) => {
      const { servers, workers } = rate;
      const all = (rate.perServer() * servers) / (first.perServer() * first.servers);
      const each = rate.perServer() / first.perServer();
      const cells = [`${servers}`, `${workers}`, rate.perServer().toFixed(0), times(each)];
      return [...cells, (rate.perServer() * servers).toFixed(0), times(all)];
    });
    const head = ["Servers", "Workers", "Pushes/s a server", "", "Pushes/s of all", ""];
    const widths = head.map((cell, at) =>
      Math.max(cell.length, ...lines.map((l) => l[at]!.length)),
    );
    const formed = [head, ...lines].map((cells) =>
      cells
        .map((cell, at) => cell.padStart(widths[at]!))
        .join("  ")
        .trimEnd(),
    );
    return [`How pushes of chunks grow over ${series}, against the first line:`, ...formed];
  });
}

function times(ratio: number): string {
  return `${ratio.toFixed(2)} x`;
}
