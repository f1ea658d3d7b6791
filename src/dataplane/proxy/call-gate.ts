import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import type { AnswerRules } from '../tls/answer-rules.ts';
import type { CallRequest } from '../tls/call-request.ts';
import type { ProxyLimits } from '../tls/port-deps.ts';
import type { Upstream } from './upstream.ts';

/** How a call ended. `left`: whoever called went away before there was an answer. */
export type CallEnd =
  | { readonly kind: 'answered' }
  | { readonly kind: 'failed'; readonly reason: RefusalReason }
  | { readonly kind: 'left' };

/** One admitted call on its way to the next hop: what its framing, whichever protocol that is, needs to know and has to tell. */
export type CallHop = {
  readonly kind: 'hop';
  /** Asked when the call is sent, so that it takes the way in force then. */
  upstream(): Upstream;
  /** Added to the request, as flat name-value pairs. */
  readonly addedHeaders: readonly string[];
  /** Null: the answer goes on as the next hop made it. */
  readonly answers: AnswerRules | null;
  /** Leaves out what could pass for a proof of identity. */
  readonly stripIdentity: boolean;
  /** True if the connection takes no further call, which the answer then says. */
  isRetiring(): boolean;
  /** Says the reason of a failure in the answer: to our own service only, never to a peer. */
  readonly explainsFailures: boolean;
  /** How long a body may stand still where its sender, or the reader of the answer, has to act: it holds a connection to the next hop. */
  readonly stalledMs: number;
  /** Octets that its body may have; infinite where any length is taken. */
  readonly maximumBody: number;
  /** It has more; asked at most once. True if the call is refused for that, which is recorded then. */
  refusesBody(): boolean;
  /** How the call ended; told once. */
  onEnd(end: CallEnd): void;
  /** Nothing of the call is left to be written to whoever called; told once, after `onEnd`. */
  onClose(): void;
};

/** A call that goes no further, which has been recorded. Its answer tells no reason. */
export type CallDenial = {
  readonly kind: 'denied';
  readonly status: 401 | 403 | 413 | 421 | 429;
  /** Of WWW-Authenticate; null where no credential would help. */
  readonly challenge: string | null;
  /** The connection takes no further call. */
  readonly closes: boolean;
};

/** Judges and counts the calls of one connection. Beneath it is the framing: HTTP/1.1 or HTTP/2. */
export type CallGate = {
  /** Asked at each call before anything of it goes on. */
  admit(request: CallRequest): CallHop | CallDenial;
  readonly limits: Pick<ProxyLimits, 'headMs'>;
  /** For answers that the framing makes itself. */
  readonly answers: AnswerRules | null;
  /** Whoever calls proves nothing and was let in by name only: what is refused is cut, without an answer. */
  readonly isSilent: boolean;
  /** What arrived is no acceptable request, too slow, or too much. */
  onBroken(reason: RefusalReason): void;
};
