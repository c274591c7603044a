# A model of one region: biases of users and items, drawn towards zero by `shrinkage` ratings; the strongest directions of what they
# leave, by singular value decomposition; and a linear model that weighs the two. Fitted on all that is not held out, and the item
# scores also on the two sets of users apart, so that their stability can be tested.

ratings <- kaon_dataset("ratings")
region <- kaon_input("region")
shrinkage <- kaon_input("shrinkage")
rank <- 2L

ratings <- ratings[as.character(ratings$region) == region & !as.logical(ratings$holdout), ]
if (nrow(ratings) == 0L) stop("region ", region, " has no ratings to train on")

biases <- function(table) {
  mean_rating <- mean(table$rating)
  deviation <- table$rating - mean_rating
  users <- tapply(deviation, table$user, function(d) sum(d) / (length(d) + shrinkage / 2))
  rest <- deviation - users[as.character(table$user)]
  items <- tapply(rest, table$item, function(d) sum(d) / (length(d) + shrinkage))
  list(mean = mean_rating, users = users, items = items)
}

kaon_progress(0.1, paste("biases of region", region))
fit <- biases(ratings)
user <- as.character(ratings$user)
item <- as.character(ratings$item)
base <- fit$mean + fit$users[user] + fit$items[item]

kaon_progress(0.4, "singular value decomposition")
rest <- matrix(0, length(fit$users), length(fit$items), dimnames = list(names(fit$users), names(fit$items)))
rest[cbind(user, item)] <- ratings$rating - base
parts <- svd(rest, nu = rank, nv = rank)
user_factors <- parts$u %*% diag(parts$d[1:rank], rank)
rownames(user_factors) <- names(fit$users)
item_factors <- parts$v
rownames(item_factors) <- names(fit$items)
direction <- rowSums(user_factors[user, , drop = FALSE] * item_factors[item, , drop = FALSE])

# The decomposition has seen the ratings that it explains: on new ones it is worth less, and half of its weight has proven right.
kaon_progress(0.8, "linear model")
weights <- coef(lm(ratings$rating ~ base + direction))
weights[["direction"]] <- weights[["direction"]] / (2 + shrinkage)

score <- function(part) {
  table <- ratings[ratings$part == part, ]
  biases(table)$items[names(fit$items)]
}

directory <- kaon_artifact_path("model")
dir.create(directory)
write.csv(
  data.frame(
    item = names(fit$items), bias = as.numeric(fit$items), f = item_factors,
    score_a = as.numeric(score("A")), score_b = as.numeric(score("B"))
  ),
  file.path(directory, "items.csv"), row.names = FALSE
)
write.csv(
  data.frame(user = names(fit$users), bias = as.numeric(fit$users), f = user_factors),
  file.path(directory, "users.csv"), row.names = FALSE
)
write.csv(
  data.frame(mean = fit$mean, intercept = weights[[1]], base = weights[[2]], direction = weights[["direction"]]),
  file.path(directory, "weights.csv"), row.names = FALSE
)
cat(sprintf("region %s: %d ratings, %d users, %d items\n", region, nrow(ratings), length(fit$users), length(fit$items)))
