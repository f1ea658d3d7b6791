import { Problem } from '../../core/problems/problem.ts';
import type { InboundSettings } from './proxy-settings.ts';
import type { TerminatorKind, TlsContexts } from './tls-contexts.ts';

/** Ports of one policy and protocol share a terminator, so one handshake speaks for all of them. */
export function kindsOf(inbound: readonly InboundSettings[]): (TerminatorKind & { readonly ports: readonly InboundSettings[] })[] {
  return [...Map.groupBy(inbound, ({ tls, protocol }) => `${tls.digest} ${protocol}`).values()].map((ports) => {
    const { tls: policy, protocol } = ports[0]!;
    return { policy, protocol, legacy: false, resumption: 'tickets', status: 'none', ports };
  });
}

/** Both are made before any connection wants them, so that a policy which OpenSSL does not take is never in force. @throws input-invalid */
export function makeTerminators(contexts: TlsContexts, kind: TerminatorKind): void {
  try {
    for (const legacy of [false, true]) contexts.terminatorFor({ ...kind, legacy });
  } catch (error) {
    throw new Problem(
      'input-invalid',
      `Cannot use TLS policy: ${(error as Error).message}, expected groups and suites that OpenSSL knows`,
      {
        cause: error,
      },
    );
  }
}

/** True if a port of these modes is of no use without TLS. */
export function speaksTls({ anonymousMode, strangerMode, callers }: InboundSettings): boolean {
  return [anonymousMode, strangerMode, ...callers.values()].some((mode) => mode !== 'observe');
}
