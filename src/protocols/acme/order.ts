import type { EntityId } from '../../core/ids/entity-id.ts';
import { type Instant, MINUTE_MS } from '../../core/time/instant.ts';
import { type Authorization, authorizationStatus } from './authorization.ts';
import type { Identifier } from './identifier.ts';
import { AcmeProblem, type ProblemDocument, toDocument } from './problems.ts';
import type { AcmeUrls } from './urls.ts';

/** An order as it is kept. While it is `open`, its authorizations and its age say what it is. */
export type Order = {
  readonly id: EntityId<'order'>;
  readonly accountId: EntityId<'account'>;
  readonly environment: string;
  readonly region: string;
  readonly status: 'open' | 'processing' | 'valid' | 'invalid';
  readonly profile: string | null;
  readonly identifiers: readonly Identifier[];
  readonly authorizations: readonly EntityId<'authorization'>[];
  /** The certificate that it renews, as ARI names it (RFC 9773 section 4.1). */
  readonly replaces: string | null;
  readonly error: ProblemDocument | null;
  /** When the issuance began. */
  readonly processingAt: Instant | null;
  readonly certificate: { readonly issuerKeySha256: string; readonly serial: Uint8Array } | null;
  readonly createdAt: Instant;
  readonly expiresAt: Instant;
};

/** RFC 8555 section 7.1.6. pending and ready: the client acts next; processing: we do. */
export type OrderStatus = 'pending' | 'ready' | 'processing' | 'valid' | 'invalid';

export function orderStatus(now: Instant, order: Order, authorizations: readonly Authorization[]): OrderStatus {
  switch (order.status) {
    case 'valid':
    case 'invalid':
      return order.status;
    case 'processing':
      // A process that ended between two commits leaves it so; whatever it may have signed was given to nobody.
      return now > (order.processingAt ?? 0) + ABANDONED_AFTER_MS ? 'invalid' : 'processing';
    case 'open':
      return openStatus(now, order, authorizations);
    default:
      return order.status satisfies never;
  }
}

function openStatus(now: Instant, { expiresAt }: Order, authorizations: readonly Authorization[]): OrderStatus {
  const statuses = authorizations.map((authorization) => authorizationStatus(now, authorization));
  if (expiresAt <= now || statuses.some((status) => status !== 'pending' && status !== 'valid')) return 'invalid';
  return statuses.every((status) => status === 'valid') ? 'ready' : 'pending';
}

/** The order as its account sees it (RFC 8555 section 7.1.3). */
export function viewOrder(now: Instant, order: Order, authorizations: readonly Authorization[], urls: AcmeUrls): object {
  const status = orderStatus(now, order, authorizations);
  const error = status === 'invalid' ? errorOf(now, order, authorizations) : null;
  return {
    status,
    expires: new Date(order.expiresAt).toISOString(),
    identifiers: order.identifiers,
    ...(order.profile === null ? {} : { profile: order.profile }),
    ...(order.replaces === null ? {} : { replaces: order.replaces }),
    ...(error === null ? {} : { error }),
    authorizations: order.authorizations.map((id) => urls.authorization(id)),
    finalize: urls.finalize(order.id),
    ...(status === 'valid' ? { certificate: urls.certificate(order.id) } : {}),
  };
}

/** What went wrong, each identifier's own part as a subproblem. */
function errorOf(now: Instant, order: Order, authorizations: readonly Authorization[]): ProblemDocument {
  if (order.error !== null) return order.error;
  const failed = authorizations.filter((authorization) => !['pending', 'valid'].includes(authorizationStatus(now, authorization)));
  if (failed.length === 0)
    return toDocument(new AcmeProblem('malformed', 'The order expired, or its issuance was cut off; make a new one'));
  return toDocument(
    new AcmeProblem('unauthorized', 'Not all identifiers are authorized', {
      subproblems: failed.map((authorization) => ({
        type: 'unauthorized',
        detail: authorization.error?.detail ?? `the authorization is ${authorizationStatus(now, authorization)}`,
        identifier: authorization.identifier,
      })),
    }),
  );
}

/** Longer than any signature takes; control/ca abandons its reservations in the same time. */
const ABANDONED_AFTER_MS = 15 * MINUTE_MS;
