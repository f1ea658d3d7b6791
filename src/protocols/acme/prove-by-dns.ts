import type { Authorization } from './authorization.ts';
import type { KeyAuthorization, Proof, ProofDeps } from './proof.ts';

/** RFC 8555 section 8.4: one of the TXT records holds the digest; others, of other orders, may stand beside it. */
export async function proveByDns(
  { resolver }: Pick<ProofDeps, 'resolver'>,
  { identifier }: Pick<Authorization, 'identifier'>,
  expected: KeyAuthorization,
): Promise<Proof> {
  return proveByText(resolver, `_acme-challenge.${identifier.value}`, expected);
}

/** Looks for the digest among the TXT records of a name. */
export async function proveByText(resolver: ProofDeps['resolver'], name: string, expected: KeyAuthorization): Promise<Proof> {
  const found = await resolver.texts(name);
  switch (found.kind) {
    case 'failed':
      return { kind: 'failed', type: 'dns', detail: `${name} could not be resolved (${found.detail})` };
    case 'none':
      return { kind: 'failed', type: 'unauthorized', detail: `${name} has no TXT record` };
    case 'found':
      if (found.values.includes(expected.sha256.toString('base64url'))) return { kind: 'proven', address: null };
      return { kind: 'failed', type: 'unauthorized', detail: `${name}: none of its TXT records is the digest of the key authorization` };
    default:
      return found satisfies never;
  }
}
