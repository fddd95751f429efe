/** Names on the way of a node's connect: HTTP headers, paths and the environment's variable for the agent's token. */

/** From the agent to the API Worker. */
export const CERTIFICATE_HEADER = "Dystri-Node-Certificate";
export const TOKEN_HEADER = "Dystri-Node-Token";

/**
 * From the API Worker to the gateway, once it has verified both: what they said. A gateway can be reached only by
 * binding, so it believes them. Instants are milliseconds since 1970.
 */
export const CONNECT_HEADERS = {
  node: "Dystri-Node",
  jti: "Dystri-Connect-Jti",
  tokenExpiresAt: "Dystri-Connect-Expires-At",
  certificateIssuedAt: "Dystri-Certificate-Issued-At",
} as const;

export const ENROLL_PATH = "/v1/nodes/enroll";
export const CONNECT_PATH = "/v1/nodes/connect";
