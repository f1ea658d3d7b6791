import { type Invocation, textOption, UsageError } from './command.ts';

/** An option that is a date or a date and time of ISO 8601, in UTC where it says no zone; as epoch milliseconds. */
export function readMoment(invocation: Invocation, name: string): number | undefined {
  const text = textOption(invocation, name);
  if (text === undefined) return undefined;
  const match = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2})?)?$/.exec(text);
  const instant = match === null ? Number.NaN : Date.parse(match[1] !== undefined && match[4] === undefined ? `${text}Z` : text);
  if (!Number.isFinite(instant)) throw new UsageError(`--${name} ${text}, expected a date such as 2027-01-31 or 2027-01-31T12:00Z`);
  return instant;
}
