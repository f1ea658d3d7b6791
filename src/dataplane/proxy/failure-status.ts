import type { RefusalReason } from '../../core/tls/refusal-reason.ts';

/** How a call is answered that the next hop failed, whichever protocol it came by. */
export function failureStatus(reason: RefusalReason): 400 | 502 | 503 | 504 {
  return statuses[reason] ?? 502;
}

const statuses: { readonly [reason in RefusalReason]?: 400 | 503 | 504 } = {
  'request-malformed': 400,
  timeout: 504,
  'upstream-unreachable': 503,
  'limit-exceeded': 503,
};
