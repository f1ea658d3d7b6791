import type { TLSSocket } from 'node:tls';
import type { Instant } from '../../core/time/instant.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import { presentsIdentity } from '../../core/x509/service-identity.ts';
import { verifyPath } from '../../core/x509/verify-path.ts';
import { readPeerChain } from '../../platform/network/peer-chain.ts';
import type { CertificateStatuses } from './certificate-statuses.ts';
import type { NamedServer } from './named-server-settings.ts';
import { UpstreamFailure } from './upstream-failure.ts';

/** What is told of a server whose path and name are good. */
export type NamedServerWatch = {
  /** SHA-256 of the keys of its verified path, hex. */
  readonly onSeen: (spkiSha256: readonly string[]) => void;
  /** Pins that are only observed yet would have refused it. */
  readonly onWouldRefuse: (reason: RefusalReason) => void;
  readonly statuses: CertificateStatuses;
};

/** A server outside of the trust domain: a path to the anchors given for it, its DNS name (RFC 9525), and a pinned key. @returns the verified path. @throws UpstreamFailure */
export function proveNamedServer(
  socket: TLSSocket,
  origination: NamedServer,
  { now, watch }: { readonly now: Instant; readonly watch: NamedServerWatch | null },
): readonly Certificate[] {
  const path = proveName(socket, origination, now);
  const keys = path.map(({ spkiSha256 }) => spkiSha256);
  watch?.onSeen(keys);
  const { pins } = origination;
  if (pins === null || keys.some((key) => pins.spkiSha256.has(key))) return path;
  if (pins.mode === 'enforce') throw untrusted('unpinned-key', `no key of ${origination.serverName} is pinned`);
  watch?.onWouldRefuse('unpinned-key');
  return path;
}

/** @returns the verified path. @throws UpstreamFailure */
function proveName(socket: TLSSocket, { serverName, anchors }: NamedServer, now: Instant): readonly Certificate[] {
  const leaf = socket.getPeerX509Certificate()?.raw;
  if (leaf === undefined) throw untrusted('no-certificate', 'it showed no certificate');
  let chain;
  try {
    chain = readPeerChain(socket).map((der) => parseCertificate(der));
  } catch {
    throw untrusted('chain-invalid', 'its certificate cannot be parsed');
  }
  const [first, ...intermediates] = chain;
  if (first === undefined) throw untrusted('no-certificate', 'it showed no certificate');
  const verdict = verifyPath({ leaf: first, intermediates, anchors, usage: 'server', now });
  if (verdict.kind === 'invalid') throw untrusted(verdict.reason, verdict.detail);
  if (!presentsIdentity(first, { kind: 'dns', name: serverName })) {
    throw untrusted('wrong-identity', `its certificate is not for ${serverName}`);
  }
  return verdict.path;
}

function untrusted(reason: RefusalReason, detail: string): UpstreamFailure {
  return new UpstreamFailure(reason, detail, { isTransient: false });
}
