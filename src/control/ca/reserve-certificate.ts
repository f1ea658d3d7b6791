import type { Instant } from '../../core/time/instant.ts';
import type { AuditedDatabase, AuditedUnit, JsonValue } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { insertReservation, type Reservation, settleReservation } from './certificate-store.ts';
import type { IssuanceRequest } from './issuance-request.ts';
import { findFallen, type Footing } from './standing.ts';

/** What is about to be signed. `tbsSha256` (hex) binds the log's intent to the very octets. */
export type Intent = { readonly reservation: Reservation; readonly tbsSha256: string };

/** Takes the serial and logs the intent, with the asker's claim, in one commit. The reasons against it; none: it may be signed. */
export async function reserveCertificate(
  database: AuditedDatabase,
  request: IssuanceRequest & Pick<Footing, 'graceMs'>,
  { reservation, tbsSha256 }: Intent,
  now: Instant,
): Promise<readonly string[]> {
  return database.commit(async (unit) => {
    const fallen = await findFallen(unit.queries, request, now);
    if (fallen.length > 0) {
      recordRefusal(unit, request, fallen, now);
      return fallen;
    }
    await request.claim?.(unit);
    await insertReservation(unit.queries, reservation);
    recordIssuance(unit, 'certificate.reserved', request, { ...describe(reservation), tbsSha256 }, now);
    return fallen;
  });
}

/**
 * Records the signed certificate, or, if its footing fell meanwhile, that it is withheld. The reasons against giving it out; none: give it out.
 */
export async function recordCertificate(
  database: AuditedDatabase,
  request: IssuanceRequest & Pick<Footing, 'graceMs'>,
  signed: { readonly reservation: Reservation; readonly der: Uint8Array; readonly sha256: string },
  now: Instant,
): Promise<readonly string[]> {
  const { reservation, der, sha256 } = signed;
  return database.commit(async (unit) => {
    const fallen = await findFallen(unit.queries, request, now);
    const status = fallen.length > 0 ? 'withheld' : 'issued';
    const settled = await settleReservation(unit.queries, reservation, { status, der });
    if (!settled) return ['the reservation was abandoned: signing took too long'];
    const facts = { issuerId: reservation.issuerId, serial: hex(reservation.serial), sha256 };
    if (fallen.length > 0) recordIssuance(unit, 'certificate.withheld', request, { ...facts, reasons: fallen }, now);
    else {
      const { issuerKeySha256, serial } = reservation;
      await request.settle?.(unit, { issuerKeySha256, serial });
      recordIssuance(unit, 'certificate.issued', request, facts, now);
    }
    return fallen;
  });
}

/** Logs that policy said no. */
export function recordRefusal(unit: AuditedUnit, request: IssuanceRequest, reasons: readonly string[], now: Instant): void {
  const { profile, spiffeId, proxyId, csr } = request;
  const names = { dns: bounded(request.names.dns), ip: bounded(request.names.ip) };
  const facts = { profile, names, spkiSha256: csr.spkiSha256, reasons };
  recordIssuance(unit, 'certificate.refused', request, { ...facts, spiffeId, proxyId }, now);
}

function recordIssuance(
  unit: AuditedUnit,
  type: 'certificate.reserved' | 'certificate.issued' | 'certificate.withheld' | 'certificate.refused',
  request: IssuanceRequest,
  facts: { readonly [name: string]: JsonValue },
  now: Instant,
): void {
  const { door, environment, region, actor, flaw, note } = request;
  const data = { door, ...facts, ...(flaw === undefined ? {} : { flaw }), ...note };
  recordEntry(unit, { type, at: now, environment, region, actor, data });
}

function describe(reservation: Reservation): { readonly [name: string]: JsonValue } {
  const { issuerId, issuerKeySha256, serial, profile, spiffeId, names, proxyId, spkiSha256, notBefore, notAfter } = reservation;
  return { issuerId, issuerKeySha256, serial: hex(serial), profile, spiffeId, names, proxyId, spkiSha256, notBefore, notAfter };
}

/** What was refused may be of any size; the log keeps enough of it to know it by. */
function bounded(names: readonly string[]): readonly string[] {
  return names.slice(0, 100).map((name) => name.slice(0, 300));
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex');
}
