import { parseArgs } from 'node:util';
import { type Plane, planes } from './plane.ts';
import { sabotages, type SabotageName } from './sabotage.ts';

/** How a run of the demo was asked for. */
export type Flags = {
  /** End after the table instead of waiting for a key. */
  readonly once: boolean;
  /** End with one JSON object on stdout; progress goes to stderr. */
  readonly json: boolean;
  /** Stay up after the table. */
  readonly keep: boolean;
  /** One replica of each service, and only the part of the run that a sabotage can break: for CI. */
  readonly short: boolean;
  readonly sabotage: SabotageName | null;
  readonly plane: Plane;
};

/** @throws Error that says what is wrong with the command line */
export function readFlags(args: readonly string[]): Flags {
  const { values } = parseArgs({
    args: [...args],
    options: {
      once: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      short: { type: 'boolean', default: false },
      sabotage: { type: 'string' },
      plane: { type: 'string', default: 'native' },
    },
  });
  return {
    once: values.once,
    json: values.json,
    keep: values.keep,
    short: values.short,
    sabotage: values.sabotage === undefined ? null : readSabotage(values.sabotage),
    plane: readPlane(values.plane),
  };
}

function readPlane(name: string): Plane {
  const found = planes.find((plane) => plane === name);
  if (found !== undefined) return found;
  throw new Error(`Cannot run the demo: --plane is ${JSON.stringify(name)}, expected ${planes.join(', ')}`);
}

function readSabotage(name: string): SabotageName {
  const found = sabotages.find((sabotage) => sabotage.name === name);
  if (found !== undefined) return found.name;
  throw new Error(
    `Cannot run the demo: --sabotage is ${JSON.stringify(name)}, expected ${sabotages.map((sabotage) => sabotage.name).join(', ')}`,
  );
}
