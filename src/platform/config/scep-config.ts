import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { type HostPort, parseHostPort } from '../network/host-port.ts';

/** How SCEP is served; null in the configuration as a whole: it is not. */
export type ScepConfig = {
  readonly listen: HostPort;
  /** Until when messages are taken that are signed with SHA-1, or encrypted with DES or 3DES; null: they are not. */
  readonly legacyUntil: Instant | null;
};

/** The keys of SCEP, each with its default and what it means. */
export const scepConfigKeys = {
  'listen.scep': {
    default: 'not served',
    meaning: 'Plain HTTP address of SCEP (RFC 8894), under /scep there: its messages are signed and encrypted themselves.',
  },
  'scep.legacyUntil': {
    default: 'none',
    meaning:
      'Date (such as 2027-06-30, to its beginning in UTC) until which messages are taken that are signed with SHA-1 or encrypted with DES or 3DES: an exception, for clients that know nothing newer, micromdm scepclient among them.',
  },
} as const;

/** Reads the keys from the flattened configuration. @throws input-invalid, also if SCEP is configured and not served */
export function readScepConfig(values: ReadonlyMap<string, unknown>): ScepConfig | null {
  const listen = values.get('listen.scep');
  const until = values.get('scep.legacyUntil');
  if (listen === undefined) {
    if (until !== undefined) throw invalid('scep.legacyUntil without listen.scep, which says where SCEP is served');
    return null;
  }
  if (typeof listen !== 'string') throw invalid('listen.scep is not text');
  return { listen: parseHostPort(listen), legacyUntil: until === undefined ? null : readDate(until) };
}

function readDate(value: unknown): Instant {
  const time = typeof value === 'string' && /^\d{4}-\d{2}-\d{2}$/.test(value) ? Date.parse(`${value}T00:00:00Z`) : Number.NaN;
  if (Number.isNaN(time)) throw invalid('scep.legacyUntil is no date, such as 2027-06-30');
  return time;
}

function invalid(what: string): Problem {
  return new Problem('input-invalid', `Cannot read configuration: ${what}`);
}
