import { randomUUID } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { Server as HttpsServer } from 'node:https';
import type { TLSSocket } from 'node:tls';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { authenticate } from '../../control/access/authenticate.ts';
import { MachineTokenRefused } from '../../control/access/machine-token-refused.ts';
import type { MachineTokens } from '../../control/access/machine-tokens.ts';
import { actorOf, machinePrincipal, type Principal } from '../../control/access/principal.ts';
import type { AuditedDatabase } from '../../control/audit/entry.ts';
import { Problem } from '../../core/problems/problem.ts';
import { encodePem } from '../../core/x509/pem.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { Log } from '../../platform/log/logger.ts';
import { holdSockets } from '../../platform/network/hold-sockets.ts';
import type { HostPort } from '../../platform/network/host-port.ts';
import { readPeerChain } from '../../platform/network/peer-chain.ts';
import type { Metrics } from '../../platform/telemetry/metrics.ts';
import { bearerOf, jwtOf, checkEnvironment, checkRole, narrowScope } from './authorize.ts';
import type { Answer, Asked, Handlers } from './handler.ts';
import { isInternal, type ProblemAnswer, toProblemAnswer } from './problems.ts';
import { RefusalLog } from '../../control/access/refusal-log.ts';
import { DEFAULT_BODY_LIMIT, type Route } from './route.ts';
import { type RouteName, routes } from './routes.ts';

export type AdminOptions = {
  readonly listen: HostPort;
  readonly credentials: AdminCredentials;
  readonly handlers: Handlers;
  readonly database: AuditedDatabase;
  /** The control plane's own; of routes of scope `one` that name none, and of refusals in the log. */
  readonly place: { readonly environment: string; readonly region: string };
  /** Absent: tokens of other issuers are not taken. */
  readonly machineTokens?: MachineTokens;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
};

/** The server's certificate with the authorities between it and the root, DER. */
export type AdminCredentials = { readonly chain: readonly Uint8Array[]; readonly key: KeyObject };

export type AdminServer = AsyncDisposable & {
  readonly port: number;
  /** New connections get this certificate; open ones keep theirs. */
  setCredentials(credentials: AdminCredentials): void;
};

/** Serves the route table over HTTPS. */
export async function startAdminServer(options: AdminOptions): Promise<AdminServer> {
  const app = buildApp(options);
  const sockets = holdSockets(app.server);
  await app.listen({ host: options.listen.host, port: options.listen.port });
  const server = app.server as HttpsServer;
  server.maxConnections = MAXIMUM_CONNECTIONS;
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : options.listen.port,
    setCredentials: (credentials) => server.setSecureContext(tlsOptions(credentials)),
    async [Symbol.asyncDispose]() {
      const closed = app.close();
      sockets.destroyAll();
      await closed;
    },
  };
}

function buildApp(options: AdminOptions): FastifyInstance {
  const { log, metrics } = options;
  const refusals = new RefusalLog(options);
  const app = fastify({
    https: tlsOptions(options.credentials),
    logger: false,
    genReqId: () => randomUUID(),
    requestIdHeader: false,
    bodyLimit: DEFAULT_BODY_LIMIT,
    routerOptions: { maxParamLength: 200 },
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    forceCloseConnections: true,
    return503OnClosing: true,
    exposeHeadRoutes: false,
    // A URL that cannot be decoded meets no hook and no handler.
    frameworkErrors: (_error, request, reply) => {
      const fault = new Problem('input-invalid', 'Cannot read request: the URL cannot be decoded');
      void reply.headers({ ...SECURITY_HEADERS, 'x-request-id': request.id });
      void sendProblem(reply as unknown as FastifyReply, toProblemAnswer(fault, request.id));
    },
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: false, allErrors: false } },
  }) as unknown as FastifyInstance;
  app.removeContentTypeParser('text/plain');
  app.addHook('onRequest', async (request, reply) => void reply.headers({ ...SECURITY_HEADERS, 'x-request-id': request.id }));
  app.setNotFoundHandler(() => {
    throw new Problem('not-found', 'Cannot find route: there is none of this method and path');
  });
  app.setErrorHandler(async (error, request, reply) => {
    if (isInternal(error)) log('error', 'request failed', { requestId: request.id, route: request.routeOptions.url, err: error });
    const answer = toProblemAnswer(error, request.id);
    const { status, body } = answer;
    const name = request.routeOptions.config.name;
    // The others were logged where they were found.
    if (error instanceof MachineTokenRefused && error.reason === 'replayed')
      await options.machineTokens?.refused(error, options.clock.now());
    if (name !== undefined && (status === 401 || status === 403 || status === 429)) {
      await refusals
        .record({ route: name, code: body.code, principal: principals.get(request) ?? null }, options.clock.now())
        .catch((err: unknown) => {
          log('error', 'refusal could not be logged', { requestId: request.id, err });
        });
    }
    if (status === 401) void reply.header('www-authenticate', 'Bearer');
    return sendProblem(reply, answer);
  });
  app.addHook('onResponse', async (request, reply) => {
    const { method, url } = request.routeOptions;
    metrics.add('countersign_requests_total', {
      route: url === undefined ? 'none' : `${String(method)} ${url}`,
      status: String(reply.statusCode),
    });
  });
  for (const name of Object.keys(routes) as RouteName[]) mountRoute(app, name, options);
  return app;
}

/** Who sent each request that is under way. */
const principals = new WeakMap<FastifyRequest, Principal>();

function mountRoute(app: FastifyInstance, name: RouteName, options: AdminOptions): void {
  const route: Route = routes[name];
  const { method, path, params, query, body, bodyLimit = DEFAULT_BODY_LIMIT } = route;
  app.route({
    method,
    url: path,
    bodyLimit,
    config: { name },
    schema: {
      ...(params === undefined ? {} : { params }),
      // A route without a query takes none.
      querystring: query ?? { type: 'object', additionalProperties: false },
      ...(body === undefined ? {} : { body }),
    },
    // Before the body is read: a stranger's octets are not worth parsing.
    onRequest: async (request) => {
      if (route.public !== undefined) return;
      const principal = await callerOf(request.headers.authorization, route, options);
      if (principal === null) throw new Problem('unauthenticated', 'Cannot do this without a live token in Authorization: Bearer');
      principals.set(request, principal);
      checkRole(route, principal);
    },
    handler: async (request, reply) => {
      const handle = options.handlers[name] as (call: unknown) => Promise<Answer>;
      const { params, query, body } = request;
      const call = {
        params,
        query,
        body: body ?? {},
        now: options.clock.now(),
        peerChain: () => readPeerChain(request.raw.socket as TLSSocket),
        ...askedBy(request, route, options),
      };
      return send(reply, await handle(call));
    },
  });
}

async function callerOf(header: string | undefined, route: Route, options: AdminOptions): Promise<Principal | null> {
  const now = options.clock.now();
  const jwt = options.machineTokens === undefined || route.machines !== true ? null : jwtOf(header);
  if (jwt !== null) return machinePrincipal(await options.machineTokens!.authenticate(jwt, now));
  const bearer = bearerOf(header);
  return bearer === null ? null : authenticate(options, bearer, now);
}

function askedBy(request: FastifyRequest, { scope }: Route, { place }: AdminOptions): Asked | null {
  const principal = principals.get(request);
  if (principal === undefined) return null;
  const named =
    (request.query as { readonly environment?: string }).environment ??
    (request.body as { readonly environment?: string } | undefined | null)?.environment;
  const environment = named ?? place.environment;
  if (scope === 'one') checkEnvironment(principal, environment);
  return {
    principal,
    actor: actorOf(principal),
    environment,
    scope: scope === 'listed' ? narrowScope(principal, named) : principal.scope,
    demand: (wanted) => checkEnvironment(principal, wanted),
  };
}

function send(reply: FastifyReply, answer: Answer): FastifyReply {
  switch (answer.kind) {
    case 'json':
      return reply.code(answer.status).type('application/json; charset=utf-8').send(JSON.stringify(answer.value));
    case 'octets':
      if (answer.cacheControl !== undefined) void reply.header('cache-control', answer.cacheControl);
      return reply.code(200).type(answer.contentType).send(answer.octets);
    case 'empty':
      return reply.code(204).send();
    default:
      throw new TypeError(`Cannot send answer: ${JSON.stringify(answer satisfies never)}`);
  }
}

function sendProblem(reply: FastifyReply, { status, body }: ProblemAnswer): FastifyReply {
  return reply.code(status).type('application/problem+json').send(JSON.stringify(body));
}

function tlsOptions({ chain, key }: AdminCredentials) {
  return {
    cert: chain.map((der) => encodePem('CERTIFICATE', der)).join(''),
    key: key.export({ type: 'pkcs8', format: 'pem' }),
    minVersion: 'TLSv1.3',
    // Whoever has a certificate of ours may renew by it; it is judged there, and counts for nothing elsewhere. What is named is the root alone, so that no
    // browser asks its user for another.
    requestCert: true,
    rejectUnauthorized: false,
    ca: chain.slice(-1).map((der) => encodePem('CERTIFICATE', der)),
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    maxHeaderSize: MAXIMUM_HEADERS,
  } as const;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    readonly name?: RouteName;
  }
}

const SECURITY_HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'strict-transport-security': 'max-age=31536000',
  'x-content-type-options': 'nosniff',
} as const;
/** A declaration of 1 MiB on a slow line. */
const REQUEST_TIMEOUT_MS = 30_000;
const CONNECTION_TIMEOUT_MS = 60_000;
const KEEP_ALIVE_MS = 30_000;
const HANDSHAKE_TIMEOUT_MS = 10_000;
const MAXIMUM_HEADERS = 16_384;
const MAXIMUM_CONNECTIONS = 1_000;
