/** The published entry point of `countersign-sdk`. */
export { Problem } from '../../core/problems/problem.ts';
export { UpstreamFailure } from '../tls/upstream-failure.ts';
export { Countersign } from './countersign.ts';
export type { PgOptions, RedisOptions } from './data-stores.ts';
export type { GrpcChannel } from './grpc-channel.ts';
export type { GrpcServer } from './grpc-server.ts';
export { type Caller, identityOf } from './identity-of.ts';
export type { JoinSource } from './join-source.ts';
export { open, type OpenOptions } from './open.ts';
