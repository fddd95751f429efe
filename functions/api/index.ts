/** The API Worker: the HTTP app, and the users' controllers, which live in the same Worker. */
import { applications } from "../generated/catalogue.ts";
import { createApp } from "./app.ts";

export { UserController } from "../../durable-objects/user-controller.ts";

const app = createApp(applications);

export default {
  fetch: (request, env, context) => app.fetch(request, env, context),
} satisfies ExportedHandler<ApiEnv>;
