import { pause } from '../../platform/clock/pause.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { ServedCertificate } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Credential } from '../tls/credential.ts';
import type { InboundListener } from '../tls/proxy-settings.ts';
import { ServedCertificates } from '../tls/served-certificates.ts';
import { speaksTls } from '../tls/terminator-kinds.ts';
import type { Trust } from '../tls/trust.ts';
import type { OwnEnds } from './own-ends.ts';
import { shakeHandsWithEnvoy } from './own-handshake.ts';

type Own = { readonly credential: Credential; readonly trust: Trust };

/** Which certificate each port of Envoy serves, as a handshake with it shows. */
export class ServedByEnvoy {
  readonly #deps: { readonly ends: OwnEnds; readonly clock: Clock; readonly log: Log };
  readonly #served = new ServedCertificates();

  constructor(deps: { readonly ends: OwnEnds; readonly clock: Clock; readonly log: Log }) {
    this.#deps = deps;
  }

  list(): ServedCertificate[] {
    return this.#served.list();
  }

  /** Shakes hands with every port. @throws state-conflict if one does not serve that is of no use without TLS */
  async require(ports: readonly InboundListener[], own: Own): Promise<void> {
    this.#served.keep(ports.map(({ endpointId }) => endpointId));
    await beside(ports, async (port) => {
      try {
        await this.#look(port, own);
      } catch (error) {
        if (speaksTls(port)) throw error;
        this.#deps.log('warn', 'own certificate cannot be served', { endpoint: port.endpointName, error });
      }
    });
  }

  /** Resolves when every port serves this certificate. @throws state-conflict if it does not in time */
  async untilServed(
    ports: readonly InboundListener[],
    { withinMs, signal, ...own }: Own & { readonly withinMs: number; readonly signal: AbortSignal },
  ): Promise<void> {
    const deadline = performance.now() + withinMs;
    await beside(ports, async (port) => {
      for (;;) {
        const serial = await this.#look(port, own).catch((error: Error) => error);
        if (signal.aborted || serial === own.credential.leaf.serialHex) return;
        if (performance.now() > deadline) {
          // Who cannot be asked serves nothing old either.
          if (serial instanceof Error && !speaksTls(port)) return;
          const found = serial instanceof Error ? serial.message : `it serves ${serial}`;
          throw new Problem('state-conflict', `Cannot serve certificate on ${port.endpointName}: ${found}`);
        }
        await pause(POLL_MS, signal);
      }
    });
  }

  /** The serial that the port serves. */
  async #look({ endpointId, listen, protocol, proxyProtocol }: InboundListener, own: Own): Promise<string> {
    const onLocal = (address: string): void => this.#deps.ends.add(address);
    const identity = await shakeHandsWithEnvoy(this.#deps.clock.now(), {
      ...own,
      listen,
      protocol,
      saysSource: proxyProtocol.speaksFor !== null,
      onLocal,
    });
    this.#served.saw([endpointId], identity);
    return Buffer.from(identity.certificate.serial).toString('hex');
  }
}

/** Some ports beside each other; the first failure ends it. */
async function beside(ports: readonly InboundListener[], look: (port: InboundListener) => Promise<void>): Promise<void> {
  const waiting = [...ports];
  const lane = async (): Promise<void> => {
    try {
      for (let port = waiting.shift(); port !== undefined; port = waiting.shift()) await look(port);
    } finally {
      waiting.length = 0;
    }
  };
  await Promise.all(Array.from({ length: PORTS_AT_ONCE }, lane));
}

/** Envoy has calls to carry meanwhile. */
const PORTS_AT_ONCE = 8;
const POLL_MS = 30;
