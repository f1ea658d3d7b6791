import type { Instant } from '../../core/time/instant.ts';
import type { Certificate } from '../../core/x509/certificate.ts';
import { AcmeFailure } from '../../platform/acme/acme-failure.ts';
import { readRenewalWindow } from '../../platform/acme/acme-resources.ts';
import { AcmeSession, retryAfterOf } from '../../platform/acme/acme-session.ts';
import { makeAcmeAccountKey, openAcmeAccountKey } from '../../platform/acme/sign-jws.ts';
import type { ExternalAuthorityRecord } from './external-authority.ts';
import { renewalIdOf } from './foreign-certificate.ts';
import type { ExternalDeps } from './open-session.ts';

/** When the CA wants the certificate renewed, and when to ask again. */
export type RenewalTime = { readonly renewAt: Instant; readonly askAgainAt: Instant | null };

/**
 * Asks for renewal information (RFC 9773); null where the CA has none or does not answer, and what was known stays. A time inside of the window
 * stays as it is, so that asking often moves nothing; another is drawn from the window.
 */
export async function askRenewalTime(
  deps: ExternalDeps,
  { settings }: ExternalAuthorityRecord,
  { leaf, renewAt }: { readonly leaf: Certificate; readonly renewAt: Instant },
): Promise<RenewalTime | null> {
  const id = renewalIdOf(leaf);
  const { directoryUrl, anchorsPem } = settings;
  // Nothing is signed: renewal information is asked without an account.
  const session = new AcmeSession({ ...deps, directoryUrl, anchorsPem, key: openAcmeAccountKey(makeAcmeAccountKey()), account: null });
  try {
    const { renewalInfo } = await session.directory();
    if (renewalInfo === null || id === null) return null;
    const reply = await session.get(`${renewalInfo}/${id}`);
    const { start, end } = readRenewalWindow(reply.json);
    const askAgainAt = retryAfterOf(reply.headers, deps.clock.now());
    if (renewAt >= start && renewAt <= end) return { renewAt, askAgainAt };
    const drawn = start + Math.floor(Math.random() * (end - start));
    // A window that lies too late, by mistake or malice, lets nothing expire.
    return { renewAt: Math.min(drawn, leaf.notAfter - Math.floor((leaf.notAfter - leaf.notBefore) / 6)), askAgainAt };
  } catch (error) {
    if (error instanceof AcmeFailure) return null;
    throw error;
  }
}
