import type { TlsPosture } from '../../core/findings/posture.ts';
import { cipherSuiteName, olderSuites, tls13Suites } from '../../core/tls/cipher-suite-registry.ts';
import type { HelloOffer } from '../../core/tls/encode-client-hello.ts';
import { isFiniteField, namedGroups } from '../../core/tls/named-group.ts';
import { type ProtocolVersion, protocolVersions } from '../../core/tls/protocol-version.ts';
import { messageTypes, readServerKeyExchange, serverExtensions, type ServerKeyExchange } from '../../core/tls/read-server-flight.ts';
import { signatureSchemes, tls13Schemes } from '../../core/tls/signature-scheme.ts';
import type { HelloAnswer } from './ask-hello.ts';
import { enumerateChoices } from './enumerate-choices.ts';
import type { AskOffer } from './hello-offers.ts';
import { makeKeyShare } from './make-key-share.ts';

/** Which of the versions a server speaks, oldest first, and how it answered each. */
export type SpokenVersions = {
  readonly spoken: readonly ProtocolVersion[];
  readonly answers: ReadonlyMap<ProtocolVersion, HelloAnswer>;
  /** Sent with each hello of TLS 1.3: none, unless the server takes none without. */
  readonly tls13Change: Partial<HelloOffer>;
};

export async function scanVersions(ask: AskOffer): Promise<SpokenVersions> {
  const versions = Object.keys(protocolVersions) as ProtocolVersion[];
  const asked = await Promise.all(versions.map(async (version) => [version, await ask(version)] as const));
  const answers = new Map(asked);
  const speaks = (version: ProtocolVersion): boolean => {
    const answer = answers.get(version);
    return answer?.kind === 'hello' && answer.hello.version === protocolVersions[version];
  };
  let tls13Change: Partial<HelloOffer> = {};
  if (!speaks('1.3') && answers.get('1.3')?.kind === 'refused') {
    const keyShares = COMMON_GROUPS.map((group) => makeKeyShare(group)!);
    const again = await ask('1.3', { keyShares });
    if (again.kind === 'hello') {
      answers.set('1.3', again);
      tls13Change = { keyShares };
    }
  }
  return { spoken: versions.filter(speaks), answers, tls13Change };
}

type Tls13Facts = { readonly suites: readonly number[]; readonly groups: readonly number[]; readonly schemes: readonly number[] };

/** Suites and groups by what HelloRetryRequest says of both, schemes one by one: a server refuses those in which it cannot sign. */
export async function scanTls13(ask: AskOffer, change: Partial<HelloOffer>, gaps: string[]): Promise<Tls13Facts> {
  const [suites, groups] = await Promise.all([
    enumerateChoices({
      candidates: tls13Suites,
      ask: (offered) => ask('1.3', { ...change, suites: offered }),
      read: ({ hello }) => hello.suite,
    }),
    enumerateChoices({
      candidates: [...namedGroups.keys()],
      ask: (offered) => ask('1.3', { ...change, groups: offered, ...shareOf(change, offered) }),
      read: ({ hello }) => hello.group,
    }),
  ]);
  if (!suites.complete) gaps.push('suites of TLS 1.3');
  if (!groups.complete) gaps.push('groups of TLS 1.3');
  const shared = groups.chosen.find((group) => makeKeyShare(group) !== null);
  if (shared === undefined) {
    gaps.push('signature schemes of TLS 1.3');
    return { suites: suites.chosen, groups: groups.chosen, schemes: [] };
  }
  const keyShares = [makeKeyShare(shared)!];
  const answers = await Promise.all(tls13Schemes.map((scheme) => ask('1.3', { keyShares, groups: [shared], signatureSchemes: [scheme] })));
  if (answers.some(({ kind }) => kind === 'unanswered')) gaps.push('signature schemes of TLS 1.3');
  const schemes = tls13Schemes.filter((_, at) => answers[at]!.kind === 'hello');
  return { suites: suites.chosen, groups: groups.chosen, schemes };
}

/** A server that refuses hellos without a key share is asked with those of the groups that are still offered. */
function shareOf({ keyShares = [] }: Partial<HelloOffer>, offered: readonly number[]): Partial<HelloOffer> {
  return { keyShares: keyShares.filter(({ group }) => offered.includes(group)) };
}

type OlderFacts = {
  readonly suites: readonly number[];
  readonly serverOrders: boolean | null;
  readonly groups: readonly number[];
  readonly primeBits: number | null;
  readonly schemes: readonly number[];
};

/** What the newest version before TLS 1.3 is spoken with. */
export async function scanOlder(ask: AskOffer, version: ProtocolVersion, gaps: string[]): Promise<OlderFacts> {
  const suites = await enumerateChoices({
    candidates: olderSuites,
    ask: (offered) => ask(version, { suites: offered }),
    read: ({ hello }) => (hello.version === protocolVersions[version] ? hello.suite : null),
  });
  if (!suites.complete) gaps.push(`suites of ${version}`);
  const named = (start: string): number[] => suites.chosen.filter((code) => cipherSuiteName(code).startsWith(start));
  const ephemeral = [...named('TLS_ECDHE_'), ...named('TLS_ECDH_anon')];
  const finite = [...named('TLS_DHE_'), ...named('TLS_DH_anon')];
  const signed = [...named('TLS_ECDHE_'), ...named('TLS_DHE_')];
  const exchangeOf = async (change: Partial<HelloOffer>): Promise<HelloAnswer> => ask(version, change, 'flight');
  const [serverOrders, groups, prime, schemes] = await Promise.all([
    askOrder(ask, version, suites.chosen),
    enumerateChoices({
      candidates: ephemeral.length === 0 ? [] : [...namedGroups.keys()].filter((group) => !isFiniteField(group)),
      ask: (offered) => exchangeOf({ suites: ephemeral, groups: offered }),
      read: (answer) => exchangeIn(answer)?.group ?? null,
    }),
    finite.length === 0 ? null : exchangeOf({ suites: finite }),
    enumerateChoices({
      candidates: version !== '1.2' || signed.length === 0 ? [] : [...signatureSchemes.keys()],
      ask: (offered) => exchangeOf({ suites: signed, signatureSchemes: offered }),
      read: (answer) => exchangeIn(answer)?.scheme ?? null,
    }),
  ]);
  if (!groups.complete) gaps.push(`groups of ${version}`);
  if (!schemes.complete) gaps.push(`signature schemes of ${version}`);
  const primeBits = prime?.kind === 'hello' ? (exchangeIn(prime)?.primeBits ?? null) : null;
  return { suites: suites.chosen, serverOrders, groups: groups.chosen, primeBits, schemes: schemes.chosen };
}

/**
 * True if the server's first choice stands whatever comes first in the hello. Suites of ChaCha20 are left out, because servers rightly prefer
 * them for clients that do.
 */
async function askOrder(ask: AskOffer, version: ProtocolVersion, chosen: readonly number[]): Promise<boolean | null> {
  const ordered = chosen.filter((code) => !cipherSuiteName(code).includes('CHACHA20'));
  if (ordered.length < 2) return null;
  const [forwards, backwards] = await Promise.all([ordered, ordered.toReversed()].map((suites) => ask(version, { suites })));
  if (forwards?.kind !== 'hello' || backwards?.kind !== 'hello') return null;
  return forwards.hello.suite === backwards.hello.suite;
}

function exchangeIn({ hello, messages }: Extract<HelloAnswer, { kind: 'hello' }>): ServerKeyExchange | null {
  const message = messages.find(({ type }) => type === messageTypes.serverKeyExchange);
  return message === undefined ? null : readServerKeyExchange(message.body, cipherSuiteName(hello.suite), hello.version);
}

/** What a ServerHello before TLS 1.3 says of compression and of renegotiation. */
export async function scanHello(ask: AskOffer, version: ProtocolVersion): Promise<Pick<TlsPosture, 'compresses' | 'renegotiatesSecurely'>> {
  const answer = await ask(version, { compression: [DEFLATE, 0] });
  if (answer.kind !== 'hello') return { compresses: false, renegotiatesSecurely: null };
  const { compression, extensions } = answer.hello;
  // SSL 3.0 is asked without extensions.
  return {
    compresses: compression !== 0,
    renegotiatesSecurely: version === 'SSL 3.0' ? null : extensions.has(serverExtensions.renegotiationInfo),
  };
}

const DEFLATE = 1;
/** X25519 and P-256: every server of TLS 1.3 has one of them (RFC 8446 section 9.1). */
const COMMON_GROUPS = [0x001d, 0x0017];
