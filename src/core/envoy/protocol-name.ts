import { Protocol } from '../messages/generated/countersign/v1/settings_pb.ts';
import type { EnvoyProtocol } from './access-log-name.ts';

/** What passes through untouched is a stream of octets, whatever it holds. */
export function envoyProtocol(protocol: Protocol): EnvoyProtocol {
  if (protocol === Protocol.HTTP) return 'http';
  return protocol === Protocol.GRPC ? 'grpc' : 'tcp';
}
