# The error of a region's model on the ratings that were held out.

ratings <- kaon_dataset("ratings")
region <- kaon_input("region")
directory <- kaon_input("model")

ratings <- ratings[as.character(ratings$region) == region & as.logical(ratings$holdout), ]
items <- read.csv(file.path(directory, "items.csv"), colClasses = c(item = "character"))
users <- read.csv(file.path(directory, "users.csv"), colClasses = c(user = "character"))
weights <- read.csv(file.path(directory, "weights.csv"))

i <- match(as.character(ratings$item), items$item)
u <- match(as.character(ratings$user), users$user)
known <- function(values) ifelse(is.na(values), 0, values)

base <- weights$mean + known(users$bias[u]) + known(items$bias[i])
direction <- known(users$f.1[u] * items$f.1[i]) + known(users$f.2[u] * items$f.2[i])
prediction <- weights$intercept + weights$base * base + weights$direction * direction
prediction <- pmin(pmax(prediction, 1), 5)

rmse <- sqrt(mean((ratings$rating - prediction)^2))
kaon_metric("rmse", rmse)
kaon_output("rmse", rmse)
kaon_output("count", nrow(ratings))
cat(sprintf("region %s: RMSE %.4f on %d held-out ratings\n", region, rmse, nrow(ratings)))
