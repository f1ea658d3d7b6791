import type { EntityId } from '../../core/ids/entity-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import type { Actor, AuditedUnit } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { digestOf, type WaitingContent, type WaitingRequest } from './waiting-request.ts';
import { countOpen, findFiled, insertWaiting } from './waiting-store.ts';

/** What is filed, for whom, and until when. */
export type Filing = {
  readonly content: WaitingContent;
  /** Who may not approve of it. */
  readonly asker: string;
  /** How it stands in the log who files it. */
  readonly actor: Actor;
  readonly tokenId: EntityId<'token'> | null;
  /** SHA-256 of its key, for the log. */
  readonly spkiSha256: string;
  readonly withinMs: number;
  /** What is used up by it. It throws to refuse. */
  readonly claim?: (unit: AuditedUnit) => Promise<unknown>;
};

/** Files a request that persons have to approve of. Asked for the same again, the same request waits on. @throws rate-limited if too many wait */
export async function fileRequest(unit: AuditedUnit, filing: Filing, now: Instant): Promise<WaitingRequest> {
  const { content, asker, tokenId, withinMs } = filing;
  const digest = digestOf(content);
  const same = await findFiled(unit.queries, { asker, digest }, now);
  if (same !== null) return same;
  const open = await countOpen(unit.queries, MAXIMUM_OPEN, null);
  if (open >= MAXIMUM_OPEN)
    throw new Problem('rate-limited', `Cannot file request: ${open} wait for approval, expected fewer than ${MAXIMUM_OPEN}`);
  const own = await countOpen(unit.queries, MAXIMUM_OPEN_EACH, asker);
  if (own >= MAXIMUM_OPEN_EACH)
    throw new Problem('rate-limited', `Cannot file request: ${own} of yours wait for approval, expected fewer than ${MAXIMUM_OPEN_EACH}`);
  await filing.claim?.(unit);
  const { environment, region, profile, spiffeId, names, door, external } = content;
  const filed: WaitingRequest = {
    id: newEntityId('request', now),
    environment,
    region,
    profile,
    status: 'waiting',
    content,
    digest,
    asker,
    tokenId,
    requestedAt: now,
    expiresAt: now + withinMs,
    signingAt: null,
    settledAt: null,
    certificate: null,
    orderId: null,
    reason: null,
    approvers: [],
  };
  await insertWaiting(unit.queries, filed);
  const { id: requestId, expiresAt } = filed;
  const facts = { requestId, digest, profile, spiffeId, names, spkiSha256: filing.spkiSha256, expiresAt };
  const where = external === undefined ? {} : { door, authority: external.authority };
  recordEntry(unit, { type: 'issuance-request.filed', at: now, environment, region, actor: filing.actor, data: { ...facts, ...where } });
  return filed;
}

/** More than persons can look at; each is some KiB. */
export const MAXIMUM_OPEN = 1_000;
/** One pipeline that runs wild must not keep all others from asking. */
const MAXIMUM_OPEN_EACH = 100;
