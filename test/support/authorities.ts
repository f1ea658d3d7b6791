import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { type Authorities } from '../../src/control/ca/authorities.ts';
import type { AuthorityKeyType } from '../../src/control/ca/create-authority-pair.ts';
import { addAuthorityPair } from '../../src/control/ca/initialize-authorities.ts';
import type { IssuanceRequest } from '../../src/control/ca/issuance-request.ts';
import { openAuthorities } from '../../src/control/ca/open-authorities.ts';
import type { AuditedDatabase, AuditEntry, StagedEntry } from '../../src/control/audit/entry.ts';
import { serviceSpiffeId } from '../../src/core/identity/spiffe-id.ts';
import { parseTrustDomain } from '../../src/core/identity/trust-domain.ts';
import type { Instant } from '../../src/core/time/instant.ts';
import { buildCertificateRequest, type CertificateRequest, parseCertificateRequest } from '../../src/core/x509/certificate-request.ts';
import { makeSignal, type Signal } from '../../src/platform/clock/signal.ts';
import { openDatabase } from '../../src/platform/db/open-database.ts';
import { type KeyEncryptionKey, makeKeyEncryptionKey } from '../../src/platform/signer/key-encryption-key.ts';

export const trustDomain = parseTrustDomain('acme.example');
export const place = { environment: 'production', region: 'local' } as const;
export const orders = serviceSpiffeId(trustDomain, 'production', 'orders');
export const ada = { kind: 'person', name: 'ada' } as const;

/** A CA as it stands after `ca init`, but with two roots and two issuing authorities, and its log's entries in a list. */
export type TestAuthorities = AsyncDisposable & {
  readonly database: AuditedDatabase;
  readonly kek: KeyEncryptionKey;
  readonly authorities: Authorities;
  readonly changed: Signal;
  /** Sealed entries, in the order of the log. */
  readonly entries: readonly AuditEntry[];
  /** How many commits staged something. */
  readonly commits: () => number;
  readonly entriesOf: (type: AuditEntry['type']) => readonly AuditEntry[];
};

/** With `reopen`, the key encryption key of an earlier call, nothing is made: it is the next start of that control plane. */
export async function openTestAuthorities(
  url: string,
  now: Instant,
  options: {
    readonly keyType?: AuthorityKeyType;
    readonly crlBaseUrl?: string | null;
    readonly crlShards?: number;
    readonly reopen?: KeyEncryptionKey;
    /** What stands between the CA and its database. */
    readonly wrap?: (database: AuditedDatabase) => AuditedDatabase;
    /** Told of each entry, in the order of the log. */
    readonly onEntry?: (entry: AuditEntry) => void;
  } = {},
): Promise<TestAuthorities> {
  const entries: AuditEntry[] = [];
  let commits = 0;
  const { wrap = (bare) => bare } = options;
  const bare: AuditedDatabase = await openDatabase<StagedEntry>({
    url,
    seal: async (_queries, staged) => {
      commits++;
      entries.push(...staged.map(({ entry }) => entry));
      for (const { entry } of staged) options.onEntry?.(entry);
    },
  });
  const database = wrap(bare);
  const { keyType = 'P-256', crlBaseUrl = 'http://127.0.0.1:8080', crlShards = 1, reopen } = options;
  const kek = reopen ?? makeKeyEncryptionKey(randomBytes(32));
  for (const at of reopen === undefined ? [now - 1, now] : [])
    await addAuthorityPair({ database, kek }, { trustDomain, ...place, keyType, crlBaseUrl, crlShards }, ada, at);
  return {
    database,
    kek,
    authorities: await openAuthorities({ database, kek }),
    changed: makeSignal(),
    entries,
    commits: () => commits,
    entriesOf: (type) => entries.filter((entry) => entry.type === type),
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}

/** A fresh P-256 key and a request by it that names nothing. */
export function newTestRequest(): { readonly csr: CertificateRequest; readonly privateKey: KeyObject } {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { csr: parseCertificateRequest(buildCertificateRequest({}, privateKey)), privateKey };
}

/** What a sidecar of `orders` asks for when it joins. */
export function joinRequest(change: Partial<IssuanceRequest> = {}): IssuanceRequest {
  return {
    door: 'join',
    profile: 'workload',
    asker: { role: 'data-plane', scope: ['production'], spiffeId: orders },
    actor: { kind: 'machine', name: orders },
    csr: change.csr ?? newTestRequest().csr,
    spiffeId: orders,
    names: { dns: [], ip: [] },
    proxyId: 'proxy_00000000000000000000000001',
    ...place,
    ...change,
  };
}
