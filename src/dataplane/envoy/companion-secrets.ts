import { create } from '@bufbuild/protobuf';
import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import { type DataSource, DataSourceSchema } from '../../core/messages/generated/envoy/config/core/v3/base_pb.ts';
import { SubjectAltNameMatcher_SanType } from '../../core/messages/generated/envoy/extensions/transport_sockets/tls/v3/common_pb.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { type Credential, keyPemOf } from '../tls/credential.ts';
import type { TicketKeys } from '../tls/ticket-keys.ts';
import type { Trust } from '../tls/trust.ts';
import { envoyTicketKeys } from './envoy-ticket-keys.ts';
import { type HeldSecrets, secretNames } from './held-secrets.ts';

/** Our key with its chain, and the staple of the moment where there is one. Returns the version that Envoy is to have. */
export function putIdentity(secrets: HeldSecrets, credential: Credential, staple: Uint8Array | null): string {
  return secrets.put(secretNames.identity, {
    case: 'tlsCertificate',
    value: {
      certificateChain: inline(Buffer.from(credential.chainPem)),
      privateKey: inline(Buffer.from(keyPemOf(credential))),
      ...(staple === null ? {} : { ocspStaple: inline(staple) }),
    },
  });
}

export function putTicketKeys(secrets: HeldSecrets, keys: TicketKeys): string {
  return secrets.put(secretNames.ticketKeys, { case: 'sessionTicketKeys', value: { keys: envoyTicketKeys(keys).map(inline) } });
}

/** Another certificate of our own CA is not enough: it has to be the control plane's exact name. */
export function putControlPlane(secrets: HeldSecrets, trust: Trust, controlPlane: SpiffeId): string {
  return secrets.put(secretNames.controlPlane, {
    case: 'validationContext',
    value: {
      trustedCa: inline(Buffer.from(trust.anchors.map(({ der }) => encodePem('CERTIFICATE', der)).join(''))),
      matchTypedSubjectAltNames: [
        { sanType: SubjectAltNameMatcher_SanType.URI, matcher: { matchPattern: { case: 'exact', value: controlPlane } } },
      ],
    },
  });
}

function inline(octets: Uint8Array): DataSource {
  return create(DataSourceSchema, { specifier: { case: 'inlineBytes', value: octets } });
}
