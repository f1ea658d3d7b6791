import { type Outbound, StatusCheck } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import { parseOutsidePolicy, type OutsidePolicy } from '../../platform/network/outside-policy.ts';
import { publicAddresses } from '../../platform/network/public-addresses.ts';

/** What is asked about the certificate of a server outside of the trust domain: whether its CA has revoked it. */
export type StatusDemand = {
  readonly mode: 'observe' | 'enforce';
  /** What a server meets of whose certificate nobody can say so. */
  readonly unknown: 'accept' | 'refuse';
  /** Where responders and lists may be. */
  readonly policy: OutsidePolicy;
};

/** Null: nobody is asked. @throws input-invalid for a check that this version does not know, and for words about none */
export function parseStatusDemand({ statusCheck, refusesUnknownStatus, statusFrom }: Outbound): StatusDemand | null {
  if (statusCheck === StatusCheck.UNSPECIFIED) {
    if (refusesUnknownStatus || statusFrom.length > 0) throw invalid('words about a status that is not checked', 'none');
    return null;
  }
  const mode = statusCheck === StatusCheck.OBSERVE ? 'observe' : statusCheck === StatusCheck.ENFORCE ? 'enforce' : null;
  if (mode === null) throw invalid(`status check ${statusCheck}`, 'observe or enforce');
  const policy = statusFrom.length === 0 ? publicAddresses : parseOutsidePolicy(statusFrom, () => []);
  return { mode, unknown: refusesUnknownStatus ? 'refuse' : 'accept', policy };
}

function invalid(found: string, expected: string): Problem {
  return new Problem('input-invalid', `Cannot use outbound: ${found}, expected ${expected}`);
}
