/** One figure of one contender in one round. */
export type Measurement = { readonly contender: string; readonly metric: string; readonly unit: string; readonly value: number };

/** A figure over all rounds: median with its spread. */
export type Row = {
  readonly contender: string;
  readonly metric: string;
  readonly unit: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  readonly runs: number;
};

/** One contender of an axis. `measure` is called once a round; rounds of all contenders are interleaved. */
export type Contender = {
  readonly name: string;
  /** Why it cannot take part here, or null. */
  readonly absent: () => string | null;
  readonly measure: () => Promise<readonly Omit<Measurement, 'contender'>[]>;
  /** Ends what it kept between rounds. */
  readonly close?: () => Promise<void>;
};

export type Axis = { readonly name: string; readonly meaning: string; readonly contenders: () => Promise<readonly Contender[]> };

/** Medians over the rounds, in the order of first appearance. */
export function summarize(measurements: readonly Measurement[]): Row[] {
  const groups = Map.groupBy(measurements, ({ contender, metric }) => `${contender}\n${metric}`);
  return [...groups.values()].map((group) => {
    const values = group.map(({ value }) => value).toSorted((a, b) => a - b);
    const { contender, metric, unit } = group[0]!;
    return { contender, metric, unit, value: median(values), min: values[0]!, max: values.at(-1)!, runs: values.length };
  });
}

function median(sorted: readonly number[]): number {
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
