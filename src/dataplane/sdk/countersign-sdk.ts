/** The published entry point of `countersign-sdk`. */
export { Problem } from '../../core/problems/problem.ts';
export { UpstreamFailure } from '../tls/upstream-failure.ts';
export { Countersign } from './countersign.ts';
export { type Caller, identityOf } from './identity-of.ts';
export type { JoinSource } from './join-source.ts';
export { open, type OpenOptions } from './open.ts';
