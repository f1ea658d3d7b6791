import { Problem } from '../../core/problems/problem.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../../core/time/instant.ts';
import { type HostPort, parseHostPort } from '../network/host-port.ts';

/** How CMP is served; null in the configuration as a whole: it is not. */
export type CmpConfig = {
  readonly listen: HostPort;
  /** How long a device may take to confirm its certificate before it is revoked. */
  readonly confirmWithinMs: number;
};

/** The keys of CMP, each with its default and what it means. */
export const cmpConfigKeys = {
  'listen.cmp': {
    default: 'not served',
    meaning: 'Plain HTTP address of CMP (RFC 9810, 9811), whose messages protect themselves: POST to /.well-known/cmp or /pkix.',
  },
  'cmp.confirmWithin': {
    default: '10m',
    meaning:
      'How long a device may take to confirm a certificate that it asked for without implicitConfirm; then the certificate is revoked.',
  },
} as const;

/** Reads the keys from the flattened configuration. @throws input-invalid, also if CMP is configured and not served */
export function readCmpConfig(values: ReadonlyMap<string, unknown>): CmpConfig | null {
  const listen = values.get('listen.cmp');
  if (listen === undefined) {
    const stray = [...values.keys()].find((key) => key.startsWith('cmp.'));
    if (stray !== undefined) throw invalid(`${stray} without listen.cmp, which says where CMP is served`);
    return null;
  }
  if (typeof listen !== 'string') throw invalid('listen.cmp is not text');
  return { listen: parseHostPort(listen), confirmWithinMs: readWait(values.get('cmp.confirmWithin')) };
}

function readWait(value: unknown = cmpConfigKeys['cmp.confirmWithin'].default): number {
  const match = typeof value === 'string' ? /^([1-9]\d{0,3})([smh])$/.exec(value) : null;
  const waitMs = match === null ? 0 : Number(match[1]) * { s: SECOND_MS, m: MINUTE_MS, h: HOUR_MS }[match[2] as 's' | 'm' | 'h'];
  if (waitMs === 0 || waitMs > DAY_MS) {
    throw invalid(`cmp.confirmWithin is ${String(JSON.stringify(value)).slice(0, 60)}, expected a time such as 10m, at most 24h`);
  }
  return waitMs;
}

function invalid(what: string): Problem {
  return new Problem('input-invalid', `Cannot read configuration: ${what}`);
}
