import { create } from '@bufbuild/protobuf';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import {
  type DiscoveryRequest,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from '../../core/messages/generated/envoy/service/discovery/v3/discovery_pb.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { HeldSecrets, SecretName } from './held-secrets.ts';

export const SECRET_TYPE = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret';

type Stream = Pick<ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>, 'on' | 'write' | 'end'>;

/**
 * One stream of SDS (state of the world): each secret that was asked for is sent when it is there and whenever it changes, one at a time,
 * and never again as it was refused. What does not exist is not answered: Envoy waits for it.
 */
export function serveSecrets(stream: Stream, secrets: HeldSecrets, log: Log): void {
  let wanted: readonly string[] = [];
  const sent = new Map<string, string>();
  let outstanding: { readonly nonce: string; readonly name: string; readonly version: string } | null = null;
  let nonces = 0;
  const sendNext = (): void => {
    if (outstanding !== null) return;
    for (const name of wanted) {
      const held = secrets.get(name);
      if (held === null || sent.get(name) === held.version) continue;
      sent.set(name, held.version);
      outstanding = { nonce: String(++nonces), name, version: held.version };
      stream.write(
        create(DiscoveryResponseSchema, {
          versionInfo: held.version,
          typeUrl: SECRET_TYPE,
          nonce: outstanding.nonce,
          resources: [{ typeUrl: SECRET_TYPE, value: held.octets }],
        }),
      );
      return;
    }
  };
  const stop = secrets.watch(sendNext);
  stream.on('data', (request: DiscoveryRequest) => {
    if (request.typeUrl !== '' && request.typeUrl !== SECRET_TYPE) return void stream.end();
    if (outstanding !== null && request.responseNonce === outstanding.nonce) {
      const { name, version } = outstanding;
      outstanding = null;
      const refusal = request.errorDetail === undefined ? null : request.errorDetail.message.slice(0, MAXIMUM_REASON);
      if (refusal !== null) log('error', 'envoy refused a secret', { name, version, reason: refusal });
      secrets.answered({ name: name as SecretName, version, refusal });
    } else if (request.responseNonce !== '') {
      // An answer to what was overtaken: the answer to the latest is still on its way.
      return;
    }
    const names = request.resourceNames.slice(0, MAXIMUM_NAMES);
    // What is asked for anew is sent, whatever this stream had of it before.
    for (const name of sent.keys()) if (!names.includes(name)) sent.delete(name);
    wanted = names;
    sendNext();
  });
  stream.on('error', stop);
  stream.on('close', stop);
  stream.on('end', () => {
    stop();
    stream.end();
  });
}

/** There are three. */
const MAXIMUM_NAMES = 16;
const MAXIMUM_REASON = 1_000;
