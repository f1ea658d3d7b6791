import { decodePem } from '../../core/x509/pem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { KeptVerdicts } from '../tls/kept-verdicts.ts';
import { type Peer, plaintextPeer } from '../tls/peer.ts';
import { allowsVersion, type TlsPolicy } from '../tls/tls-policy.ts';
import type { Trust } from '../tls/trust.ts';
import type { LogFacts } from './log-entry.ts';

export type PeerJudge = {
  readonly kept: KeptVerdicts;
  readonly trust: () => Trust;
  /** Leaves by the text that Envoy writes of them, for every call of a connection. */
  readonly leaves: Map<string, Uint8Array | null>;
};

/**
 * What a connection showed, judged by the same code as the native proxy's. Envoy tells the leaf alone, so the issuing authorities are those
 * of the bundle; who needs another one in between proves nothing here, though its Envoy may have let it in.
 */
export function judgePeer(
  { kept, trust, leaves }: PeerJudge,
  { chain, certificate, tlsVersion }: Pick<LogFacts, 'chain' | 'certificate' | 'tlsVersion'>,
  { now, policy }: { readonly now: Instant; readonly policy: TlsPolicy },
): Peer {
  if (chain === null || chain.channel === 'plaintext') return plaintextPeer;
  const isOld = tlsVersion !== 0 && !allowsVersion(policy, [tlsVersion]);
  const leaf = certificate === '' ? null : leafOf(leaves, certificate);
  if (leaf === null) {
    const offence = isOld ? 'tls-version' : certificate === '' ? 'no-certificate' : 'chain-invalid';
    return { channel: 'tls', identity: null, offence, certificate: null, resumed: false };
  }
  const judged = kept.judge(now, trust(), { leaf, readChain: () => [leaf], resumed: false, usage: 'client' });
  if (judged.kind === 'unproved')
    return {
      channel: 'tls',
      identity: null,
      offence: isOld ? 'tls-version' : judged.reason,
      certificate: judged.certificate,
      resumed: false,
    };
  const { identity } = judged;
  return { channel: 'mtls', identity, offence: isOld ? 'tls-version' : null, certificate: identity.certificate, resumed: false };
}

function leafOf(leaves: PeerJudge['leaves'], text: string): Uint8Array | null {
  const known = leaves.get(text);
  if (known !== undefined) return known;
  const leaf = readLeaf(text);
  leaves.set(text, leaf);
  if (leaves.size > MAXIMUM_LEAVES) leaves.delete(leaves.keys().next().value!);
  return leaf;
}

function readLeaf(text: string): Uint8Array | null {
  try {
    return decodePem(decodeURIComponent(text), 'CERTIFICATE')[0] ?? null;
  } catch {
    return null;
  }
}

/** Some 4 kB each. */
const MAXIMUM_LEAVES = 1_000;
