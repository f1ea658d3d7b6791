import type { ChallengeType } from './challenge-type.ts';

/** Where everything is, below the one external base URL: a Host header never decides (RFC 8555 section 6.4). */
export type AcmeUrls = {
  readonly base: string;
  readonly directory: string;
  readonly newNonce: string;
  readonly newAccount: string;
  readonly newOrder: string;
  readonly revokeCert: string;
  readonly keyChange: string;
  readonly renewalInfo: string;
  readonly account: (id: string) => string;
  readonly orders: (accountId: string) => string;
  readonly order: (id: string) => string;
  readonly finalize: (orderId: string) => string;
  readonly certificate: (orderId: string) => string;
  readonly authorization: (id: string) => string;
  readonly challenge: (authorizationId: string, type: ChallengeType) => string;
};

/** `base` has no slash at its end. */
export function makeAcmeUrls(base: string): AcmeUrls {
  const at = (path: string): string => `${base}/acme/${path}`;
  return {
    base,
    directory: at('directory'),
    newNonce: at('new-nonce'),
    newAccount: at('new-account'),
    newOrder: at('new-order'),
    revokeCert: at('revoke-cert'),
    keyChange: at('key-change'),
    renewalInfo: at('renewal-info'),
    account: (id) => at(`account/${id}`),
    orders: (id) => at(`account/${id}/orders`),
    order: (id) => at(`order/${id}`),
    finalize: (id) => at(`order/${id}/finalize`),
    certificate: (id) => at(`certificate/${id}`),
    authorization: (id) => at(`authorization/${id}`),
    challenge: (id, type) => at(`challenge/${id}/${type}`),
  };
}
