import { type DnsName, parseDnsName } from '../../core/identity/dns-name.ts';
import {
  type OldTls as WireOldTls,
  type Outbound,
  PinMode,
  StatusCheck,
} from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import { parseStatusDemand, type StatusDemand } from './status-demand.ts';

/** To a server outside of the trust domain: its own anchors and its DNS name. */
export type NamedServer = {
  readonly kind: 'tls';
  readonly serverName: DnsName;
  readonly anchors: readonly Certificate[];
  readonly oldTls: OldTls | null;
  readonly pins: Pins | null;
  /** Which certificate is shown if the server asks for one: that of our identity, or one of its own CA that we hold for it. */
  readonly shows: 'none' | 'own' | 'held';
  /** Null: nobody is asked whether its certificate was revoked. */
  readonly status: StatusDemand | null;
};

/** An agreed exception for a server that speaks no better. After `until` there is none. */
export type OldTls = { readonly minimumVersion: number; readonly until: Instant; readonly exception: string };

/** Keys of which one has to be in the server's verified path. */
export type Pins = {
  readonly mode: 'observe' | 'enforce';
  /** SHA-256 of SubjectPublicKeyInfo, lower case hex. */
  readonly spkiSha256: ReadonlySet<string>;
  readonly forcedUntil: Instant;
};

/** @throws input-invalid, identity-malformed, der-malformed */
export function parseNamedServer(outbound: Outbound): NamedServer {
  if (outbound.serverAnchors.length === 0) throw invalid('no server anchors', 'at least one for one-way TLS');
  return {
    kind: 'tls',
    serverName: parseDnsName(outbound.serverName),
    anchors: outbound.serverAnchors.map((der) => parseCertificate(der)),
    oldTls: parseOldTls(outbound.oldTls),
    pins: parsePins(outbound),
    shows: parseShown(outbound),
    status: parseStatusDemand(outbound),
  };
}

function parseShown({ showsCertificate, showsHeldCertificate }: Outbound): NamedServer['shows'] {
  if (showsCertificate && showsHeldCertificate) throw invalid('two certificates to show', 'one');
  return showsCertificate ? 'own' : showsHeldCertificate ? 'held' : 'none';
}

/** @throws input-invalid for a version below TLS 1.0 or beyond 1.2, and for an exception without name or end */
function parseOldTls(wire: WireOldTls | undefined): OldTls | null {
  if (wire === undefined) return null;
  const { minimumVersion, untilMs, exception } = wire;
  if (minimumVersion < TLS_1_0 || minimumVersion > TLS_1_2)
    throw invalid(`old TLS from 0x${minimumVersion.toString(16)}`, '0x0301 to 0x0303');
  if (exception === '' || untilMs === 0n) throw invalid('old TLS without an exception', 'its name and its end');
  return { minimumVersion, until: Number(untilMs), exception };
}

/** @throws input-invalid for a single pin, one of another length, or a mode that this version does not know */
function parsePins({ pins, pinMode, pinsForcedUntilMs }: Outbound): Pins | null {
  if (pins.length === 0) {
    if (pinMode !== PinMode.UNSPECIFIED) throw invalid('a mode of pins without pins', 'neither');
    return null;
  }
  const spkiSha256 = new Set(pins.map((pin) => Buffer.from(pin).toString('hex')));
  if (spkiSha256.size < 2 || pins.length > MAXIMUM_PINS)
    throw invalid(`${spkiSha256.size} pins`, `2 to ${MAXIMUM_PINS}: one is the backup`);
  if (pins.some((pin) => pin.length !== 32)) throw invalid('a pin of another length', '32 octets');
  const mode = pinMode === PinMode.OBSERVE ? 'observe' : pinMode === PinMode.ENFORCE ? 'enforce' : null;
  if (mode === null) throw invalid(`mode ${pinMode} of pins`, 'observe or enforce');
  return { mode, spkiSha256, forcedUntil: Number(pinsForcedUntilMs) };
}

/** What of it decides how a connection is made. */
export function namedServerDigests({
  oldTls,
  pins,
  pinMode,
  showsCertificate,
  showsHeldCertificate,
  ...status
}: Outbound): readonly unknown[] {
  const old = oldTls === undefined ? null : [oldTls.minimumVersion, String(oldTls.untilMs), oldTls.exception];
  return [
    old,
    pins.map((pin) => Buffer.from(pin).toString('hex')),
    pinMode,
    showsCertificate,
    ...(showsHeldCertificate ? ['held'] : []),
    ...statusDigests(status),
  ];
}

/** Nothing where nothing is checked, so that a way to speak stays the same one. */
function statusDigests({
  statusCheck,
  refusesUnknownStatus,
  statusFrom,
}: Pick<Outbound, 'statusCheck' | 'refusesUnknownStatus' | 'statusFrom'>) {
  return statusCheck === StatusCheck.UNSPECIFIED ? [] : [statusCheck, refusesUnknownStatus, statusFrom];
}

function invalid(found: string, expected: string): Problem {
  return new Problem('input-invalid', `Cannot use outbound: ${found}, expected ${expected}`);
}

const TLS_1_0 = 0x0301;
const TLS_1_2 = 0x0303;
const MAXIMUM_PINS = 20;
