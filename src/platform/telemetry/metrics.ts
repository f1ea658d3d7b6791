import { type MetricName, metricTable } from './metric-table.ts';

/** Counts and gauges of one process, printed as OpenMetrics text. A label's values come from closed sets; past the bound they fall together. */
export type Metrics = {
  add(name: MetricName, labels?: Labels, amount?: number): void;
  set(name: MetricName, value: number, labels?: Labels): void;
  /** Calls this before each rendering, for what is cheaper to look up than to follow. */
  collect(collector: () => void): void;
  render(): string;
};

export type Labels = { readonly [label: string]: string };

export function createMetrics(): Metrics {
  const series = new Map<MetricName, Map<string, number>>();
  const collectors: (() => void)[] = [];
  const update = (name: MetricName, labels: Labels, change: (old: number) => number): void => {
    const values = series.get(name) ?? new Map<string, number>();
    series.set(name, values);
    const key = labelText(name, labels);
    const bounded = values.has(key) || values.size < MAXIMUM_SERIES ? key : labelText(name, {});
    values.set(bounded, change(values.get(bounded) ?? 0));
  };
  return {
    add: (name, labels = {}, amount = 1) => update(name, labels, (old) => old + amount),
    set: (name, value, labels = {}) => update(name, labels, () => value),
    collect: (collector) => void collectors.push(collector),
    render: () => {
      for (const collector of collectors) collector();
      return renderAll(series);
    },
  };
}

function renderAll(series: ReadonlyMap<MetricName, ReadonlyMap<string, number>>): string {
  return `${[...series].flatMap(([name, values]) => renderMetric(name, values)).join('\n')}\n# EOF\n`;
}

function labelText(name: MetricName, labels: Labels): string {
  const pairs = metricTable[name].labels.map((label) => `${label}="${escapeLabel(labels[label] ?? 'other')}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function renderMetric(name: MetricName, values: ReadonlyMap<string, number>): string[] {
  const { kind, help } = metricTable[name];
  const family = kind === 'counter' ? name.replace(/_total$/, '') : name;
  return [`# TYPE ${family} ${kind}`, `# HELP ${family} ${help}`, ...[...values].map(([labels, value]) => `${name}${labels} ${value}`)];
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n').slice(0, 200);
}

/** Per metric; more label values than this mean that a label is not a closed set. */
const MAXIMUM_SERIES = 1_000;
