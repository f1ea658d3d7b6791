import type { EntityId } from '../../core/ids/entity-id.ts';
import { DAY_MS, type Instant } from '../../core/time/instant.ts';
import type { CertificateKey } from '../../control/ca/certificate-store.ts';
import type { Queries } from '../../platform/db/database.ts';
import { MESSAGE_WINDOW_MS } from './seen-messages.ts';

/** A transaction that began with the request of a device, and as long as that could be sent again. */
export type CmpTransaction = {
  /** Lower case hex. */
  readonly transactionId: string;
  /** Whose it is, as the log calls them. */
  readonly sender: string;
  readonly environment: string;
  readonly region: string;
  /** The nonce of our last message, which the next one repeats. */
  readonly nonce: Uint8Array;
  readonly answer: 'ip' | 'cp' | 'kup';
  readonly requestNumber: number;
  readonly implicitConfirm: boolean;
  /** When it ends by itself. */
  readonly deadline: Instant;
  readonly state:
    | { readonly kind: 'waiting'; readonly requestId: EntityId<'request'> }
    | { readonly kind: 'issued'; readonly certificate: CertificateKey }
    /** Nothing comes after it; it is kept so that its request is answered once, by whichever server and whenever it was started. */
    | { readonly kind: 'done' };
};

type TransactionKey = Pick<CmpTransaction, 'transactionId' | 'sender'>;

/** False, and nothing done, if the sender has one of this id. */
export async function insertTransaction(queries: Queries, transaction: CmpTransaction): Promise<boolean> {
  const { transactionId, sender, environment, region, nonce, answer, requestNumber, implicitConfirm, deadline, state } = transaction;
  const result = await tables(queries)
    .insertInto('cmp_transactions')
    .values({
      transaction_id: transactionId,
      sender,
      environment,
      region,
      nonce,
      answer,
      request_number: requestNumber,
      implicit_confirm: implicitConfirm ? 1 : 0,
      deadline,
      ...columnsOf(state),
    })
    .onConflict((conflict) => conflict.columns(['transaction_id', 'sender']).doNothing())
    .executeTakeFirst();
  return (result.numInsertedOrUpdatedRows ?? 0n) > 0n;
}

export async function findTransaction(queries: Queries, { transactionId, sender }: TransactionKey): Promise<CmpTransaction | null> {
  const row = await tables(queries)
    .selectFrom('cmp_transactions')
    .selectAll()
    .where('transaction_id', '=', transactionId)
    .where('sender', '=', sender)
    .executeTakeFirst();
  return row === undefined ? null : toTransaction(row);
}

/** As it is after our next message. */
export async function updateTransaction(
  queries: Queries,
  { transactionId, sender }: TransactionKey,
  { nonce, deadline, state }: Pick<CmpTransaction, 'nonce' | 'deadline' | 'state'>,
): Promise<void> {
  await tables(queries)
    .updateTable('cmp_transactions')
    .set({ nonce, deadline, ...columnsOf(state) })
    .where('transaction_id', '=', transactionId)
    .where('sender', '=', sender)
    .execute();
}

/** False, and nothing done, if somebody else ended it. */
export async function endTransaction(queries: Queries, { transactionId, sender }: TransactionKey, now: Instant): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('cmp_transactions')
    .set({ deadline: rememberedUntil(now), ...columnsOf({ kind: 'done' }) })
    .where('transaction_id', '=', transactionId)
    .where('sender', '=', sender)
    .where('status', '!=', 'done')
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** Forgets those that are done and whose request is too old to be answered. */
export async function deleteDone(queries: Queries, now: Instant): Promise<void> {
  await tables(queries).deleteFrom('cmp_transactions').where('deadline', '<', now).where('status', '=', 'done').execute();
}

/** Those that end by themselves, the oldest first, at most `limit`. */
export async function listOverdue(queries: Queries, now: Instant, limit: number): Promise<CmpTransaction[]> {
  const rows = await tables(queries)
    .selectFrom('cmp_transactions')
    .selectAll()
    .where('deadline', '<', now)
    .where('status', '!=', 'done')
    .orderBy('deadline')
    .limit(limit)
    .execute();
  return rows.map(toTransaction);
}

/** What persons agreed to at the last moment is held for the device for another day. */
export function waitingUntil(expiresAt: Instant): Instant {
  return expiresAt + DAY_MS;
}

/** A message that is as new as can be is good for two windows. */
export function rememberedUntil(now: Instant): Instant {
  return now + 2 * MESSAGE_WINDOW_MS;
}

type TransactionRow = {
  transaction_id: string;
  sender: string;
  environment: string;
  region: string;
  status: string;
  nonce: Uint8Array;
  answer: string;
  request_number: number;
  implicit_confirm: number;
  waiting_request: string | null;
  issuer_key_sha256: string | null;
  serial: Uint8Array | null;
  deadline: number;
};

const tables = (queries: Queries) => queries.withTables<{ cmp_transactions: TransactionRow }>();

function columnsOf(state: CmpTransaction['state']): Pick<TransactionRow, 'status' | 'waiting_request' | 'issuer_key_sha256' | 'serial'> {
  if (state.kind === 'done') return { status: 'done', waiting_request: null, issuer_key_sha256: null, serial: null };
  if (state.kind === 'waiting') return { status: 'waiting', waiting_request: state.requestId, issuer_key_sha256: null, serial: null };
  const { issuerKeySha256, serial } = state.certificate;
  return { status: 'issued', waiting_request: null, issuer_key_sha256: issuerKeySha256, serial };
}

function toTransaction(row: TransactionRow): CmpTransaction {
  return {
    transactionId: row.transaction_id,
    sender: row.sender,
    environment: row.environment,
    region: row.region,
    nonce: row.nonce,
    answer: row.answer as CmpTransaction['answer'],
    requestNumber: row.request_number,
    implicitConfirm: row.implicit_confirm === 1,
    deadline: row.deadline,
    state: stateOf(row),
  };
}

function stateOf({
  status,
  waiting_request: requestId,
  issuer_key_sha256: issuerKeySha256,
  serial,
}: TransactionRow): CmpTransaction['state'] {
  if (status === 'waiting') return { kind: 'waiting', requestId: requestId as EntityId<'request'> };
  return issuerKeySha256 === null || serial === null ? { kind: 'done' } : { kind: 'issued', certificate: { issuerKeySha256, serial } };
}
