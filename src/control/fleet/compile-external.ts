import type { MessageInitShape } from '@bufbuild/protobuf';
import { Origination, type OutboundSchema, PinMode, StatusCheck } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { decodePem } from '../../core/x509/pem.ts';
import type { ExceptionRecord, ExternalServer, ExternalTerms } from '../inventory/record.ts';

/** How a server outside of the trust domain is spoken to. Without a current exception old TLS is not compiled, and the proxy refuses it. */
export function compileExternal(
  { serverName, anchorsPem, terms }: ExternalServer,
  exception: ExceptionRecord | null,
): MessageInitShape<typeof OutboundSchema> {
  const { oldTls, pins, pinning, pinsForcedUntil, showsCertificate, showsHeldCertificate, revocation, revocationUnknown, revocationFrom } =
    terms;
  return {
    origination: Origination.TLS,
    serverName,
    serverAnchors: decodePem(anchorsPem, 'CERTIFICATE'),
    showsCertificate,
    showsHeldCertificate,
    statusCheck: statusChecks[revocation],
    refusesUnknownStatus: revocationUnknown === 'refuse',
    statusFrom: [...revocationFrom],
    ...(oldTls === null || exception === null
      ? {}
      : { oldTls: { minimumVersion: oldVersions[oldTls], untilMs: BigInt(exception.until), exception: exception.name } }),
    ...(pins.length === 0
      ? {}
      : {
          pins: pins.map((pin) => Buffer.from(pin.slice('sha256/'.length), 'base64')),
          pinMode: pinning === 'enforce' ? PinMode.ENFORCE : PinMode.OBSERVE,
          pinsForcedUntilMs: BigInt(pinsForcedUntil ?? 0),
        }),
  };
}

const statusChecks = { off: StatusCheck.UNSPECIFIED, observe: StatusCheck.OBSERVE, enforce: StatusCheck.ENFORCE } as const;
const oldVersions: { readonly [version in NonNullable<ExternalTerms['oldTls']>]: number } = { '1.0': 0x0301, '1.1': 0x0302, '1.2': 0x0303 };
