import assert from 'node:assert/strict';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { AnonymousExceptionSchema, Inbound, InboundSchema } from '../../src/core/messages/generated/countersign/v1/settings_pb.ts';
import { Outcome, Unit } from '../../src/core/messages/generated/countersign/v1/telemetry_pb.ts';
import { HOUR_MS } from '../../src/core/time/instant.ts';
import type { Clock } from '../../src/platform/clock/clock.ts';
import { inboundTo, type modes, type Origin, ORDERS, ProxyLab } from './proxy-lab.ts';

/** An exception as a proxy is told of it; it ends in an hour unless it says otherwise. */
export type Wire = MessageInitShape<typeof AnonymousExceptionSchema>;

/** Real time, but for what a test adds to it. */
export class MovedClock implements Clock {
  aheadMs = 0;
  now(): number {
    return Date.now() + this.aheadMs;
  }
}

export const PROBES: Wire = {
  name: 'kubelet',
  sources: ['127.0.0.1/32'],
  calls: [
    { methods: ['GET'], path: '/healthz' },
    { methods: ['GET'], path: '/ready/*' },
    { methods: ['POST'], path: '/legacy/**', host: 'old.acme.example' },
  ],
};
export const SCRAPES: Wire = { name: 'prometheus', sources: ['127.0.0.1/32'], calls: [{ methods: ['GET'], path: '/metrics' }] };

type ExceptionLab = { readonly lab: ProxyLab; readonly origin: Origin; readonly port: number; readonly clock: MovedClock };
type Opening = {
  readonly mode?: keyof typeof modes;
  readonly exceptions?: readonly Wire[];
  readonly inbound?: MessageInitShape<typeof InboundSchema>;
};

export async function openExceptionLab({
  mode = 'enforce',
  exceptions = [PROBES, SCRAPES],
  inbound = {},
}: Opening = {}): Promise<ExceptionLab> {
  const clock = new MovedClock();
  const lab = new ProxyLab(ORDERS, undefined, clock);
  const origin = await lab.origin();
  assert.deepEqual(await lab.apply({ inbound: [exceptedPort(origin, mode, exceptions, inbound)] }), { kind: 'accepted' });
  return { lab, origin, clock, port: lab.portOf(0) };
}

export function exceptedPort(
  { port }: { readonly port: number },
  mode: keyof typeof modes,
  exceptions: readonly Wire[],
  more: MessageInitShape<typeof InboundSchema> = {},
): Inbound {
  const untilMs = BigInt(Date.now() + HOUR_MS);
  return inboundTo(port, mode, { anonymousExceptions: exceptions.map((wire) => ({ untilMs, ...wire })), ...more });
}

export const get = (target: string, more = ''): string => `GET ${target} HTTP/1.1\r\nHost: orders\r\n${more}\r\n`;
export const last = (target: string, more = ''): string => get(target, `${more}Connection: close\r\n`);
export const urls = ({ requests }: Origin): readonly string[] => requests.map(({ url }) => url);

export function countsOf(lab: ProxyLab): readonly (readonly unknown[])[] {
  return lab.proxy
    .takeReport()
    .counts!.map(({ unit, outcome, exception, reason, count }) => [
      unit === Unit.CALL ? 'call' : 'connection',
      outcomes[outcome],
      exception || reason,
      Number(count),
    ])
    .toSorted((a, b) => String(a).localeCompare(String(b)));
}

const outcomes: { readonly [wire: number]: string } = {
  [Outcome.ACCEPTED]: 'accepted',
  [Outcome.WOULD_REFUSE]: 'would-refuse',
  [Outcome.EXCEPTED]: 'excepted',
  [Outcome.REFUSED]: 'refused',
  [Outcome.FAILED]: 'failed',
};
