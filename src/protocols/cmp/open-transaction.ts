import { equalOctets } from '../../core/x509/der.ts';
import type { Call } from './answer-request.ts';
import type { CmpDeps } from './deps.ts';
import { CmpProblem } from './problems.ts';
import { type CmpTransaction, findTransaction } from './transaction-store.ts';

/** The transaction that a message goes on with: of the same sender, and the answer to our last message. @throws CmpProblem */
export async function openTransaction({ database }: Pick<CmpDeps, 'database'>, { header, sender }: Call): Promise<CmpTransaction> {
  const transactionId = Buffer.from(header.transactionId).toString('hex');
  const transaction = await findTransaction(database.queries, { transactionId, sender: sender.name });
  if (transaction === null) throw new CmpProblem('badRequest', 'Cannot go on: no transaction of this id is open for this sender');
  if (transaction.state.kind === 'done') throw new CmpProblem('certConfirmed', 'Cannot go on: the transaction has ended');
  if (header.recipientNonce === null || !equalOctets(header.recipientNonce, transaction.nonce))
    throw new CmpProblem('badRecipientNonce', 'Cannot go on: the nonce is not that of our last message');
  return transaction;
}
