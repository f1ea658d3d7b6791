/** True if a call by this method may be made twice for once (RFC 9110 section 9.2.2). */
export function isIdempotent(method: string): boolean {
  return idempotent.has(method);
}

const idempotent: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);
/** Of one call: what fails at three replicas is not a matter of the replica. */
export const MAXIMUM_RETRIES = 2;
