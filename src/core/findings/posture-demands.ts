import type { Policy } from '../policy/policy.ts';
import type { Certificate } from '../x509/certificate.ts';
import type { ReferenceIdentity } from '../x509/service-identity.ts';

/** What an endpoint has to be like; what is null is not judged. */
export type PostureDemands = {
  readonly policy: Policy;
  /** Whom its chains must lead to. */
  readonly anchors: readonly Certificate[] | null;
  /** How it is called. */
  readonly identity: ReferenceIdentity | null;
  readonly clientCertificate: 'required' | 'not-required' | null;
  /** How long its certificates must be good for yet; null: half of the time that renewal in time leaves, two weeks at most. */
  readonly expiresWithinMs: number | null;
};
