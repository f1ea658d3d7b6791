import type { Instant } from '../../core/time/instant.ts';

/**
 * Why a request to another CA came to nothing. `refused`: it said no, and will again. `deferred`: later it may go well; `retryAt` is what
 * the CA asked for, or null.
 */
export class AcmeFailure extends Error {
  readonly kind: 'refused' | 'deferred';
  /** The last part of the problem type (RFC 8555 section 6.7), such as `rateLimited`; `connection` or `malformedAnswer` of our own. */
  readonly type: string;
  readonly retryAt: Instant | null;
  /** Of the CA's answer, or null. */
  readonly status: number | null;

  constructor(
    kind: 'refused' | 'deferred',
    type: string,
    detail: string,
    { retryAt = null, status = null }: { readonly retryAt?: Instant | null; readonly status?: number | null } = {},
  ) {
    super(`${type}: ${detail}`);
    this.name = 'AcmeFailure';
    this.kind = kind;
    this.type = type;
    this.retryAt = retryAt;
    this.status = status;
  }
}

/** Text of a stranger, fit for a log leaf: bounded, and without controls. */
export function boundedText(value: unknown, maximum = 300): string {
  return typeof value === 'string' ? value.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, ' ').slice(0, maximum) : '';
}

/** Reads a problem document (RFC 9457) with its subproblems as one line. */
export function readProblem(value: unknown): { readonly type: string; readonly detail: string } {
  if (typeof value !== 'object' || value === null) return { type: 'unknown', detail: '' };
  const { type, detail, subproblems } = value as { readonly [name: string]: unknown };
  const parts = Array.isArray(subproblems)
    ? subproblems.slice(0, MAXIMUM_SUBPROBLEMS).map((part) => boundedText((part as { detail?: unknown } | null)?.detail, 150))
    : [];
  const own = boundedText(type, 120).replace(/^urn:ietf:params:acme:error:/, '');
  return { type: own === '' ? 'unknown' : own, detail: [boundedText(detail), ...parts].filter((part) => part !== '').join('; ') };
}

const MAXIMUM_SUBPROBLEMS = 10;
