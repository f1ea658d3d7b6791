import { Problem } from '../../core/problems/problem.ts';
import { type ViolationReason, violationReasons } from './peer.ts';

/** A call that its caller may not make: answered with PERMISSION_DENIED, logged with its reason, counted. */
export class Violation extends Problem {
  readonly reason: ViolationReason;

  /** The detail reaches the caller; it names only what the caller sent. */
  constructor(reason: ViolationReason, detail = '') {
    super(
      reason === 'foreign-path' || reason === 'foreign-report' ? 'telemetry-refused' : 'forbidden',
      `Cannot serve call: ${reason}${detail === '' ? '' : ` (${detail})`}: ${violationReasons[reason]}`,
    );
    this.name = 'Violation';
    this.reason = reason;
  }
}
