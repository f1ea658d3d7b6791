import { HOUR_MS, type Instant, MINUTE_MS } from '../../core/time/instant.ts';
import type { Log } from '../../platform/log/logger.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { listEndpoints } from '../inventory/store.ts';
import { askRenewalTime } from './ask-renewal-time.ts';
import { askServed } from './ask-served.ts';
import { askStatus } from '../../platform/network/ask-status.ts';
import type { ForeignCertificate } from './foreign-certificate.ts';
import { NEVER, takeDueChecks, updateWatch } from './foreign-certificate-store.ts';
import { judgeFinding } from './judge-finding.ts';
import { chainOf } from './leaf-of.ts';
import { type ExternalDeps, SYSTEM } from './open-session.ts';
import { findExternalAuthorityById } from './store.ts';
import { findAuthority } from '../ca/authority-store.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';

/** Looks at what is due: expiry, status, whether it is served, and, no sooner than its CA said, when that wants it renewed. What one look finds is logged when it changes. */
export async function watchCertificates(deps: ExternalDeps & { readonly log: Log }): Promise<number> {
  const { database, clock, log } = deps;
  const now = clock.now();
  const taken = await database.commit((unit) => takeDueChecks(unit.queries, { now, until: now + LOOK_MS, limit: LOOKS_A_ROUND }));
  await Promise.all(
    taken.map((certificate) =>
      look(deps, certificate).catch((err: unknown) =>
        log('error', 'look at a certificate failed inside', { issuerId: certificate.issuerId, err }),
      ),
    ),
  );
  return taken.length;
}

async function look(deps: ExternalDeps, held: ForeignCertificate): Promise<void> {
  const { queries } = deps.database;
  const [leaf] = chainOf(held);
  const issuer = parseCertificate((await findAuthority(queries, held.issuerId))!.certificate);
  const authority = held.authorityId === null ? null : await findExternalAuthorityById(queries, held.authorityId);
  const mayRenew = authority !== null && held.renewal === null && held.renewAt < NEVER;
  const [standing, served, time] = await Promise.all([
    askStatus(deps, { leaf, issuer }, deps.clock.now()),
    lookServed(deps, held, leaf),
    !mayRenew || deps.clock.now() < held.renewalInfoAt ? null : askRenewalTime(deps, authority, { leaf, renewAt: held.renewAt }),
  ]);
  const now = deps.clock.now();
  const { finding, detail } = judgeFinding(now, { ...leaf, standing, served });
  // What is revoked serves nobody: it is replaced at once, unless we asked for that ourselves.
  const renewAt = mayRenew && finding === 'revoked' ? Math.min(held.renewAt, now) : (time?.renewAt ?? held.renewAt);
  const changed = finding !== held.finding;
  const next = {
    ...held,
    renewAt,
    checkAt: nextLook(now, leaf),
    // RFC 9773 section 4.3: what the CA asks for delays this question alone.
    renewalInfoAt: time?.askAgainAt ?? held.renewalInfoAt,
    finding,
    findingDetail: detail,
    findingAt: changed ? now : held.findingAt,
  };
  await deps.database.commit(async (unit) => {
    if (!(await updateWatch(unit.queries, next, held.checkAt))) return;
    if (!changed && renewAt === held.renewAt) return;
    const { environment, region, issuerId } = held;
    const data = { issuerId, serial: leaf.serialHex, finding, detail, renewAt };
    recordEntry(unit, { type: 'external-certificate.found', at: now, environment, region, actor: SYSTEM, data });
  });
}

async function lookServed(deps: ExternalDeps, { endpointId, environment }: ForeignCertificate, leaf: ReturnType<typeof parseCertificate>) {
  if (endpointId === null) return null;
  const endpoint = (await listEndpoints(deps.database.queries, [environment])).find(({ id }) => id === endpointId);
  return endpoint === undefined ? null : askServed(deps, leaf, endpoint.addresses);
}

/** A fiftieth of its life, an hour at most and a minute at least. */
function nextLook(now: Instant, { notBefore, notAfter }: { readonly notBefore: Instant; readonly notAfter: Instant }): Instant {
  return now + Math.min(Math.max(Math.floor((notAfter - notBefore) / 50), MINUTE_MS), HOUR_MS);
}

/** Longer than all questions of one look together. */
const LOOK_MS = 3 * MINUTE_MS;
const LOOKS_A_ROUND = 16;
