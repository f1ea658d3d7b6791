/** A request for a certificate as the REST API tells it. */
export type ShownRequest = {
  readonly id: string;
  readonly profile: string;
  readonly door: string;
  /** The other CA that would be asked. */
  readonly authority: string | null;
  readonly spiffeId: string | null;
  readonly names: { readonly dns: readonly string[]; readonly ip: readonly string[] };
  readonly asker: string;
  readonly status: string;
  readonly approvers: readonly string[];
  readonly approvals: { readonly needed: number; readonly role: string };
  readonly expiresAt: number;
  readonly serial: string | null;
  /** The order at another CA that came of it. */
  readonly orderId: string | null;
  readonly reason: string | null;
};

/** Whom the certificate would be for. */
export function subjectOf({ spiffeId, names }: Pick<ShownRequest, 'spiffeId' | 'names'>): string {
  return spiffeId ?? [...names.dns, ...names.ip].join(' ');
}

/** One line on where it stands. */
export function standingOf({ id, status, approvers, approvals, serial, orderId, reason }: ShownRequest): string {
  if (status === 'issued') return `${id} is issued: certificate ${serial}`;
  if (status === 'ordered') return `${id} is ordered: external fetch ${orderId}`;
  const why = reason === null || reason === '' ? '' : `: ${reason}`;
  if (status !== 'waiting') return `${id} is ${status}${why}`;
  return `${id} waits for approval: ${approvers.length} of ${approvals.needed} by the role ${approvals.role}`;
}
