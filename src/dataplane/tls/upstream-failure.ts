import type { RefusalReason } from '../../core/tls/refusal-reason.ts';

/** The next hop could not be reached or did not prove who it is. Thrown before any octet of a call was sent. */
export class UpstreamFailure extends Error {
  readonly reason: RefusalReason;
  /** True where another try a moment later may succeed: a service that restarts refuses connections for a while. */
  readonly isTransient: boolean;

  constructor(reason: RefusalReason, detail: string, options: { readonly isTransient: boolean; readonly cause?: unknown }) {
    super(`Cannot reach upstream: ${detail}`, { cause: options.cause });
    this.name = 'UpstreamFailure';
    this.reason = reason;
    this.isTransient = options.isTransient;
  }
}
