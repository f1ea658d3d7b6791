/** Fields that could pass for a proof of identity: `Client-Cert`, `Client-Cert-Chain` (RFC 9440) and Envoy's `X-Forwarded-Client-Cert`. */
export const identityFields = ['client-cert', 'client-cert-chain', 'x-forwarded-client-cert'] as const;

/**
 * True for these in any spelling that a service could read as one of them: gateways in the manner of CGI make no difference between
 * a hyphen and an underscore.
 */
export function isIdentityField(lower: string): boolean {
  if (lower.length < 11) return false;
  return known.has(lower.includes('_') ? lower.replaceAll('_', '-') : lower);
}

const known: ReadonlySet<string> = new Set(identityFields);
