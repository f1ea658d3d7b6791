import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { CertificateRequest } from '../../core/x509/certificate-request.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import type { Role } from '../access/role.ts';
import type { Actor, AuditedDatabase, AuditedUnit } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { isKeyCompromised } from '../ca/certificate-store.ts';
import { IssuanceRefused } from '../ca/issuance-refused.ts';
import type { ExternalAuthorityRecord } from './external-authority.ts';
import type { ExternalOrder } from './external-order.ts';
import { type ForeignCertificate, renewalIdOf } from './foreign-certificate.ts';
import { claimRenewal } from './foreign-certificate-store.ts';
import { judgeRequest, MAXIMUM_NAMES, type RequestFacts } from './judge-request.ts';
import { leafOf } from './leaf-of.ts';
import { insertExternalOrder } from './order-store.ts';

export type ExternalRequest = {
  readonly authority: ExternalAuthorityRecord;
  readonly csr: CertificateRequest;
  /** Null: the engine, for whoever asked first. */
  readonly role: Role | null;
  /** What it takes the place of, of the same authority. */
  readonly renews: ForeignCertificate | null;
  readonly endpointId: EntityId<'endpoint'> | null;
};

/**
 * Records that another CA is to be asked for this CSR; the driver does the rest. Whatever is refused is logged with its reasons.
 * @throws issuance-refused
 */
export async function requestExternalCertificate(
  deps: { readonly database: AuditedDatabase; readonly changed: Signal } & Omit<RequestFacts, 'keyBlocked'>,
  request: ExternalRequest,
  actor: Actor,
  now: Instant,
): Promise<ExternalOrder> {
  const order = orderOf(request, actor, now);
  const refused = await deps.database.commit((unit) => stageRequest(unit, deps, { ...request, order }, now));
  if (refused.length > 0) throw new IssuanceRefused(refused);
  deps.changed.notify();
  return order;
}

async function stageRequest(
  unit: AuditedUnit,
  { reservedNames, blockedKeys }: Omit<RequestFacts, 'keyBlocked'>,
  { order, authority, csr, role, renews }: ExternalRequest & { readonly order: ExternalOrder },
  now: Instant,
): Promise<readonly string[]> {
  const { environment, region, names, askedBy: actor, replaces } = order;
  const keyBlocked = await isKeyCompromised(unit.queries, csr.spkiSha256);
  const reasons = [...judgeRequest(authority, { csr, role }, { keyBlocked, reservedNames, blockedKeys })];
  if (renews !== null && renews.authorityId !== authority.id) reasons.push('what it renews is not of this authority');
  // Whoever takes the renewal takes it from the engine: a pipeline may do that for all of its names, not to let some of them end.
  if (role === 'ci' && renews !== null && !leafOf(renews).subjectAltNames.dns.every((name) => names.includes(name.toLowerCase())))
    reasons.push('it leaves out names of what it renews, which an admin or operator may decide');
  // One renewal at a time, whoever asks: the engine of this server, that of another, or a person.
  if (reasons.length === 0 && renews !== null && !(await claimRenewal(unit.queries, renews, order.id)))
    reasons.push('it is being renewed already');
  const shown = names.slice(0, MAXIMUM_NAMES).map((text) => text.slice(0, 300));
  const data = { order: order.id, authority: authority.name, names: shown, spkiSha256: csr.spkiSha256, replaces };
  if (reasons.length === 0) await insertExternalOrder(unit.queries, order);
  const [type, more] =
    reasons.length === 0 ? (['external-order.requested', {}] as const) : (['external-order.refused', { reasons }] as const);
  recordEntry(unit, { type, at: now, environment, region, actor, data: { ...data, ...more } });
  return reasons;
}

function orderOf({ authority, csr, renews, endpointId }: ExternalRequest, actor: Actor, now: Instant): ExternalOrder {
  const { environment, region, id: authorityId } = authority;
  return {
    id: newEntityId('order', now),
    authorityId,
    environment,
    region,
    csr: csr.der,
    names: [...new Set<string>([...csr.subjectAltNames.dns.map((name) => name.toLowerCase()), ...csr.subjectAltNames.ip])],
    askedBy: actor,
    renews: renews === null ? null : { issuerId: renews.issuerId, serial: renews.serial },
    replaces: renews === null ? null : renewalIdOf(leafOf(renews)),
    endpointId: endpointId ?? renews?.endpointId ?? null,
    status: 'requested',
    url: null,
    attempts: 0,
    dueAt: now,
    detail: null,
    certificate: null,
    createdAt: now,
  };
}
