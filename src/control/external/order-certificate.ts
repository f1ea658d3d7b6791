import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Decision } from '../../core/issuance/decide-issuance.ts';
import type { Asker } from '../../core/issuance/issuance-order.ts';
import type { Profile, ProfileName } from '../../core/issuance/profile.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { CertificateRequest } from '../../core/x509/certificate-request.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { Queries } from '../../platform/db/database.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import { type Role, roleCovers } from '../access/role.ts';
import type { Actor, AuditedDatabase, AuditedUnit, JsonValue } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { isKeyCompromised } from '../ca/certificate-store.ts';
import { IssuanceRefused } from '../ca/issuance-refused.ts';
import { findProfile, toldReason } from '../ca/prepare-certificate.ts';
import { demandProfileInForce } from '../ca/profile-in-force.ts';
import type { ExternalAuthorityRecord } from './external-authority.ts';
import type { ExternalOrder, OrderApprovals } from './external-order.ts';
import { type ForeignCertificate, renewalIdOf } from './foreign-certificate.ts';
import { claimRenewal } from './foreign-certificate-store.ts';
import { isSaidCompromised } from './foreign-revocation-store.ts';
import { judgeRequest, type OrderPolicy } from './judge-request.ts';
import { leafOf } from './leaf-of.ts';
import { findExternalAuthorityById } from './store.ts';
import { insertExternalOrder } from './order-store.ts';

export type OrderRequest = {
  readonly authority: ExternalAuthorityRecord;
  readonly csr: CertificateRequest;
  readonly profile: ProfileName;
  /** What the asker may have is judged by this. */
  readonly asker: Asker;
  /** How the asker stands in the log. */
  readonly askedBy: Actor;
  /** Who asked for the first of a line of renewals; absent: `askedBy`. */
  readonly firstAskedBy?: Actor;
  /** What it takes the place of, of the same authority. */
  readonly renews: ForeignCertificate | null;
  readonly endpointId: EntityId<'endpoint'> | null;
  /** Who approved of this CSR under this profile. */
  readonly approvals: OrderApprovals | null;
  /** Bound of the lifetime by the credential that asked for the first. */
  readonly grantedMs?: number | null;
  /** What must be used up, or still be so, in the commit of the order. It throws to refuse. */
  readonly claim?: (unit: AuditedUnit) => Promise<unknown>;
  /** What becomes so with the order, in its commit. */
  readonly settle?: (unit: AuditedUnit, order: EntityId<'order'>) => Promise<unknown>;
  /** More that the entry of the log shall say. */
  readonly note?: { readonly [name: string]: JsonValue };
};

export type OrderDeps = { readonly database: AuditedDatabase; readonly changed: Signal; readonly authorities: OrderPolicy };

/**
 * Decides by the one evaluator and records in the same commit that another CA is to be asked; the driver does the rest. Whatever is refused is logged with its
 * reasons. @throws issuance-refused with all reasons; state-conflict; what `request.claim` throws
 */
export async function orderCertificate(deps: OrderDeps, request: OrderRequest, now: Instant): Promise<ExternalOrder> {
  const made = await deps.database.commit((unit) => stageOrder(unit, deps.authorities, request, now));
  if ('refused' in made) throw new IssuanceRefused(made.refused);
  deps.changed.notify();
  return made.order;
}

async function stageOrder(
  unit: AuditedUnit,
  policy: OrderPolicy,
  request: OrderRequest,
  now: Instant,
): Promise<{ readonly order: ExternalOrder } | { readonly refused: readonly string[] }> {
  await demandDeclared(unit.queries, request);
  const decision = await decide(unit.queries, policy, request, now);
  const reasons = [...reasonsOf(decision, request), ...findObstacles(request)];
  const order = orderOf(request, decision, now);
  // One renewal at a time, whoever asks: the engine of this server, that of another, or a person.
  if (reasons.length === 0 && request.renews !== null && !(await claimRenewal(unit.queries, request.renews, order.id)))
    reasons.push('it is being renewed already');
  if (reasons.length === 0) {
    await request.claim?.(unit);
    await insertExternalOrder(unit.queries, order);
    await request.settle?.(unit, order.id);
  }
  const { environment, region, askedBy: actor, names, replaces, profile, approvals } = order;
  const shown = names.slice(0, MAXIMUM_LOGGED).map((text) => text.slice(0, 300));
  const { authority, csr, note } = request;
  const data = {
    order: order.id,
    authority: authority.name,
    profile,
    names: shown,
    spkiSha256: csr.spkiSha256,
    replaces,
    approvals: approvals?.count ?? 0,
    ...note,
  };
  const [type, more] =
    reasons.length === 0 ? (['external-order.requested', {}] as const) : (['external-order.refused', { reasons }] as const);
  recordEntry(unit, { type, at: now, environment, region, actor, data: { ...data, ...more } });
  return reasons.length === 0 ? { order } : { refused: reasons };
}

/** The declaration may have been changed since it was read. @throws state-conflict */
async function demandDeclared(queries: Queries, { authority: { id, name, updatedAt } }: OrderRequest): Promise<void> {
  const held = await findExternalAuthorityById(queries, id);
  if (held?.updatedAt === updatedAt) return;
  throw new Problem('state-conflict', `Cannot order: the declaration of ${name} was changed a moment ago, expected to be asked again`);
}

/** Null: there is no such profile. */
async function decide(queries: Queries, policy: OrderPolicy, request: OrderRequest, now: Instant): Promise<Decision | null> {
  const { authority, csr } = request;
  const profile = findProfile(policy, authority.environment, request.profile);
  await demandProfileInForce(queries, authority.environment, { name: request.profile, digest: profile?.digest ?? null });
  if (profile === null) return null;
  const keyBlocked = (await isKeyCompromised(queries, csr.spkiSha256)) || (await isSaidCompromised(queries, csr.spkiSha256));
  return judgeRequest(policy, { profile, request: judgedOf(request) }, { keyBlocked, approvals: approvalsFor(profile, request) }, now);
}

/** How many approvals count under the profile as it is now: none, where it demands another role than was demanded of them. */
export function approvalsFor({ approvals: demand }: Profile, { approvals: given }: Pick<OrderRequest, 'approvals'>): number {
  const isEnough = given !== null && (demand === undefined || roleCovers(given.role, demand.role as Role));
  return isEnough ? given.count : 0;
}

/** The request as the evaluator takes it. */
export function judgedOf({ authority, csr, asker, renews }: OrderRequest): Parameters<typeof judgeRequest>[1]['request'] {
  const { dns, ip } = csr.subjectAltNames;
  return { authority, asker, key: csr, names: { dns, ip }, renews };
}

function reasonsOf(decision: Decision | null, { profile }: OrderRequest): string[] {
  if (decision === null) return [`asker: there is no profile ${profile}`];
  return decision.kind === 'refuse' ? decision.reasons.map(toldReason) : [];
}

/** Why this cannot take the place of what it renews, whatever policy says. */
export function findObstacles({ authority, csr, asker, renews }: OrderRequest): readonly string[] {
  if (renews === null) return [];
  const reasons: string[] = [];
  if (renews.authorityId !== authority.id) reasons.push('what it renews is not of this authority');
  const names = csr.subjectAltNames.dns.map((name) => name.toLowerCase());
  // Whoever takes the renewal takes it from the engine: a pipeline may do that for all of its names, not to let some of them end.
  if (asker.role === 'ci' && !leafOf(renews).subjectAltNames.dns.every((name) => names.includes(name.toLowerCase())))
    reasons.push('it leaves out names of what it renews, which an admin or operator may decide');
  return reasons;
}

function orderOf(request: OrderRequest, decision: Decision | null, now: Instant): ExternalOrder {
  const { authority, csr, asker, askedBy, renews, profile, approvals } = request;
  const { environment, region, id: authorityId } = authority;
  const grantedMs = asker.grant?.maxLifetimeMs ?? request.grantedMs ?? null;
  const decided = decision?.kind === 'order' ? decision : { purposes: [], longestMs: 0 };
  return {
    id: newEntityId('order', now),
    authorityId,
    environment,
    region,
    csr: csr.der,
    names: [...new Set<string>([...csr.subjectAltNames.dns.map((name) => name.toLowerCase()), ...csr.subjectAltNames.ip])],
    askedBy,
    askerRole: asker.role,
    firstAskedBy: request.firstAskedBy ?? askedBy,
    profile,
    approvals,
    grantedMs,
    longestMs: Math.min(decided.longestMs, grantedMs ?? Number.POSITIVE_INFINITY),
    purposes: decided.purposes,
    renews: renews === null ? null : { issuerId: renews.issuerId, serial: renews.serial },
    replaces: renews === null ? null : renewalIdOf(leafOf(renews)),
    endpointId: request.endpointId ?? renews?.endpointId ?? null,
    status: 'requested',
    url: null,
    attempts: 0,
    dueAt: now,
    detail: null,
    certificate: null,
    createdAt: now,
  };
}

/** As many as the evaluator lets a certificate have. */
const MAXIMUM_LOGGED = 100;
