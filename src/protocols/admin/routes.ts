import { accessRoutes } from './access-routes.ts';
import { certificateRoutes } from './certificate-routes.ts';
import { externalRoutes } from './external-routes.ts';
import { federationRoutes } from './federation-routes.ts';
import { grantRoutes } from './grant-routes.ts';
import { inventoryRoutes } from './inventory-routes.ts';
import { issuanceRoutes } from './issuance-routes.ts';
import { logRoutes } from './log-routes.ts';
import type { RouteTable } from './route.ts';
import { renewalRoutes } from './renewal-routes.ts';
import { requestRoutes } from './request-routes.ts';
import { rolloutRoutes } from './rollout-routes.ts';

/** Every route of the REST API. What is not here is not served; each row names the role that it demands, or why it is public. */
export const routes = {
  ...accessRoutes,
  ...inventoryRoutes,
  ...certificateRoutes,
  ...issuanceRoutes,
  ...requestRoutes,
  ...renewalRoutes,
  ...rolloutRoutes,
  ...logRoutes,
  ...grantRoutes,
  ...externalRoutes,
  ...federationRoutes,
} as const satisfies RouteTable;

export type RouteName = keyof typeof routes;
