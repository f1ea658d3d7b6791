import { findCertificate } from '../../control/ca/certificate-store.ts';
import { findWithdrawn } from '../../control/ca/standing.ts';
import { findWaiting } from '../../control/ca/waiting-store.ts';
import type { WaitingRequest } from '../../control/ca/waiting-request.ts';
import { readPolls } from '../../core/cmp/read-bodies.ts';
import { certificateResponseNode, pollResponseNode } from '../../core/cmp/write-bodies.ts';
import { type Instant, SECOND_MS } from '../../core/time/instant.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import type { CmpAnswer } from './answer.ts';
import type { Call } from './answer-request.ts';
import { certificateAnswer } from './certificate-answer.ts';
import type { CmpDeps } from './deps.ts';
import { openTransaction } from './open-transaction.ts';
import { CmpProblem } from './problems.ts';
import { type CmpTransaction, endTransaction, updateTransaction, waitingUntil } from './transaction-store.ts';

type PollDeps = Pick<CmpDeps, 'database' | 'authorities' | 'confirmWithinMs'>;

/** Answers a pollReq (RFC 9810 section 5.3.22): what became of a request that waits for persons. */
export async function pollCertificate(deps: PollDeps, call: Call, now: Instant): Promise<CmpAnswer> {
  const transaction = await openTransaction(deps, call);
  const { requestNumber, state } = transaction;
  const [polled, ...others] = readPolls(call.message.body);
  if (polled !== requestNumber || others.length > 0)
    throw new CmpProblem('badRequest', `Cannot answer poll: request ${polled ?? 'none'}, expected ${requestNumber} alone`);
  if (state.kind !== 'waiting') throw new CmpProblem('badRequest', 'Cannot answer poll: nothing waits, expected a confirmation');
  const request = await findWaiting(deps.database.queries, state.requestId);
  switch (request?.status) {
    case 'waiting':
    case 'signing': {
      const deadline = waitingUntil(request.expiresAt);
      await deps.database.commit(({ queries }) => updateTransaction(queries, transaction, { nonce: call.nonce, deadline, state }));
      return { kind: 'pollRep', content: pollResponseNode(requestNumber, checkAfterSeconds(now - request.requestedAt)) };
    }
    case 'issued':
      return handOut(deps, { call, transaction, request }, now);
    default:
      await deps.database.commit(({ queries }) => endTransaction(queries, transaction, now));
      return refusal(transaction);
  }
}

/** It was issued when the last person agreed; the device is given it now, and confirms from now on. */
async function handOut(
  deps: PollDeps,
  { call, transaction, request }: { readonly call: Call; readonly transaction: CmpTransaction; readonly request: WaitingRequest },
  now: Instant,
): Promise<CmpAnswer> {
  const { database, authorities, confirmWithinMs } = deps;
  const { certificate: key } = request;
  const record = key === null ? null : await findCertificate(database.queries, key.issuerKeySha256, key.serial);
  const issuer = authorities.issuing.find(({ keySha256 }) => keySha256 === key?.issuerKeySha256);
  if (key === null || record?.der == null || issuer === undefined || record.revokedAt !== null) {
    await database.commit(({ queries }) => endTransaction(queries, transaction, now));
    return refusal(transaction);
  }
  // The transaction stays: by its deadline what nobody confirmed is revoked.
  const withdrawn = await findWithdrawn(database.queries, record, now);
  if (withdrawn.length > 0) throw new CmpProblem('notAuthorized', `Cannot answer poll: ${withdrawn.join('; ')}`);
  const deadline = now + confirmWithinMs;
  const { implicitConfirm, answer, requestNumber } = transaction;
  await database.commit(async ({ queries }) => {
    if (implicitConfirm) await endTransaction(queries, transaction, now);
    else await updateTransaction(queries, transaction, { nonce: call.nonce, deadline, state: { kind: 'issued', certificate: key } });
  });
  const roots = call.sender.kind === 'secret' ? authorities.roots.map(({ der }) => der) : [];
  return certificateAnswer(
    { answer, requestNumber, certificate: parseCertificate(record.der), chain: issuer.chain, asked: null, roots },
    implicitConfirm ? { kind: 'implicit' } : { kind: 'until', at: deadline },
  );
}

function refusal({ answer, requestNumber: requestId }: CmpTransaction): CmpAnswer {
  const status = { status: 'rejection', failure: 'notAuthorized' } as const;
  return { kind: answer, content: certificateResponseNode({ requestId, status }) };
}

/** What waits for long will wait longer: a tenth of its age, so that an answer that comes soon is had soon, and one of tomorrow costs little. */
function checkAfterSeconds(ageMs: number): number {
  return Math.min(MOST_SECONDS, Math.max(1, Math.floor(ageMs / SECOND_MS / 10)));
}

const MOST_SECONDS = 60;
